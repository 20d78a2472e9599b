-- commit and begin: business state, outbox and deadline, written together.
-- A change in ARGV: finished (0, 1), deadline (keep, clear, set), ms from now, step|missing, aggregate,
-- number of fields, field, value ..., number of messages, then per message: type, number of fields, field, value ...
-- State hash: _v version, _wait member of the deadlines. Deadline: since_ms|step|missing|aggregate at its time in ms.

local DEADLINES = {keep = true, clear = true, set = true}
local STATE_WINDOWS = 3

-- `count` pairs from ARGV[at] on, and where they end; or nil.
local function read_pairs(at, count)
  if not count or at + 2 * count - 1 > #ARGV then return nil end
  local list = {}
  for i = 0, 2 * count - 1 do list[i + 1] = ARGV[at + i] end
  return list, at + 2 * count
end

-- The change that begins at ARGV[at], and where it ends; or nil.
local function read_change(at, state_key)
  local h = {finished = ARGV[at] == '1', deadline = ARGV[at + 1], within = whole(ARGV[at + 2]), waits = ARGV[at + 3],
    aggregate = ARGV[at + 4], key = state_key, messages = {}}
  if not DEADLINES[h.deadline] or not h.within or not h.aggregate then return nil end
  h.fields, at = read_pairs(at + 6, whole(ARGV[at + 5]))
  if not h.fields or (h.deadline == 'set' and #h.fields == 0) then return nil end
  for i = 1, #h.fields, 2 do if h.fields[i]:sub(1, 1) == '_' then return nil end end
  local n = whole(ARGV[at])
  if not n or n > EVENTS_MAX then return nil end
  at = at + 1
  for i = 1, n do
    local message = {type = ARGV[at]}
    local fields = whole(ARGV[at + 1])
    if not message.type or not fields or fields < 1 then return nil end
    message.fields, at = read_pairs(at + 2, fields)
    if not message.fields then return nil end
    h.messages[i] = message
  end
  return h, at
end

local function write_deadline(c, h)
  local what = h.finished and 'clear' or h.deadline
  if what == 'keep' then return end
  local old = call('HGET', h.key, '_wait')
  if old then call('ZREM', KEYS[8], old) end
  if what == 'clear' then
    call('HDEL', h.key, '_wait')
  else
    local member = int(c.ms) .. '|' .. h.waits .. '|' .. h.aggregate
    call('HSET', h.key, '_wait', member)
    call('ZADD', KEYS[8], int(c.ms + h.within), member)
  end
end

-- Writes the change over the version given; one that writes nothing leaves the expiry as it is. Gives the new version and the ids of the outbox entries.
local function write_change(c, h, version)
  if #h.fields > 0 then
    version = version + 1
    call('HSET', h.key, '_v', int(version), unpack(h.fields))
  end
  local ids = {}
  for i, message in ipairs(h.messages) do
    ids[i] = call('XADD', KEYS[7], '*', unpack(message.fields))
    count(c, 'type:' .. message.type)
  end
  write_deadline(c, h)
  -- Ids live for up to two windows after they are settled: a state that ended within the window before outlives them all.
  if h.finished then call('PEXPIREAT', h.key, int(c.ms + STATE_WINDOWS * c.window))
  elseif #h.fields > 0 then call('PERSIST', h.key) end
  return version, ids
end
