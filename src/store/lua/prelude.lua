-- What every script of the ledger shares. One call serves one shard of one group's ledger.
--
-- KEYS 1 T:m books   2 T:p open records   3 T:x recent suppressed duplicates   4 T:y executed twice and conflicts
--      5 T:q:<lane>  6 T:w owners of completions that took more than one attempt
-- ARGV 1 number of the call in its lane, 0 = no lane   2 generation   3 incarnation; the rest is each script's own
-- A lane keeps the number of its last call, 8 bytes of hash over what that call asked for, and its reply.
-- Open record: state (P in flight, R released after a failure, H handed back), fence, end of lease or delay in ms, attempt,
-- place, payload hash; then owner NUL id NUL source. Remembered id: state (C completed, F given up), fence, place, hash.
-- A script does not roll back: each checks all that can fail before its first write.

local OPEN, OPEN_BYTES = '>c1I7I6I2c10c2', 28
local DONE = '>c1I7c10c2'
local NO_HASH = '\0\0'
local EVENTS_MAX, NOTES_MAX, STREAM_LENGTH = 1000, 16, 1000
local WINNERS_MAX, WINNERS_MS = 1000, 3600000
local CLOCK_SLACK_US = 60000000
local LANE_MS = 3600000

local function int(x) return string.format('%.0f', x) end

local function hex(s) return (s:gsub('.', function(c) return string.format('%02x', c:byte()) end)) end

local function server_us()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- A whole number from 0 up to 2^53 - 1, or nil.
local function whole(s)
  local n = s and s:match('^%d+$') and tonumber(s)
  return n and n < 9007199254740992 and n or nil
end

-- Whether a key is absent or of the type that a write needs.
local function has_type(key, wanted)
  local t = redis.call('TYPE', key).ok
  return t == wanted or t == 'none'
end

-- What a call asks for, whatever generation it guesses: 8 bytes of hash in hexadecimal digits.
local function asked(op)
  local number, gen = ARGV[1], ARGV[2]
  ARGV[1], ARGV[2] = op, ''
  local hash = redis.sha1hex(cmsgpack.pack(ARGV)):sub(1, 16)
  ARGV[1], ARGV[2] = number, gen
  return hash
end

-- Finds the call's place in its lane. Gives the lane as it will be, false without one, or nil and the reply to send.
local function lane_of(op)
  local number = whole(ARGV[1])
  if not number then return nil, {'BADARG', 'lane'} end
  if number == 0 then return false end
  local lane, kept = {number = number, hash = asked(op)}, redis.call('GET', KEYS[5])
  local last, hash, reply = 0, nil, nil
  if kept then last, hash, reply = cmsgpack.unpack(kept) end
  if number == last + 1 then return lane end
  if number > last then return nil, {'LOST', int(last)} end
  if number < last then return nil, {'STALE', int(last)} end
  if hash ~= lane.hash then return nil, {'BADARG', 'lane'} end
  return nil, reply
end

-- Compares incarnation, clock, lane and generation. Gives the call's context, or nil and the reply to send. A call that is
-- refused here or before `leave` does not use up its number.
local function enter(op)
  local m = redis.call('HMGET', KEYS[1], 'inc', 'fence', 'window', 'gen', 'ids', 'ids_before', 'fill', 'fill_before')
  if not m[1] or m[1] ~= ARGV[3] then return nil, {'AMNESIA', m[1] or ''} end
  local now, fence, window = server_us(), tonumber(m[2]), tonumber(m[3])
  if fence - now > CLOCK_SLACK_US then return nil, {'CLOCK'} end
  local lane, reply = lane_of(op)
  if lane == nil then return nil, reply end
  if now < fence then now = fence end
  local known = tonumber(m[4])
  local gen = math.max(known, math.floor(now / (window * 1000)))
  if whole(ARGV[2]) ~= gen then return nil, {'GEN', int(gen)} end
  local c = {lane = lane, now = now, ms = math.floor(now / 1000), fence = fence, window = window, gen = gen,
    counts = {}, notes = {[3] = 0, [4] = 0}}
  if gen == known then
    c.ids, c.ids_before, c.fill, c.fill_before = tonumber(m[5]), tonumber(m[6]), tonumber(m[7]), tonumber(m[8])
  else
    local next_one = gen == known + 1
    c.rolled, c.ids, c.fill = true, 0, 0
    c.ids_before, c.fill_before = next_one and tonumber(m[5]) or 0, next_one and tonumber(m[7]) or 0
  end
  return c
end

local function count(c, name) c.counts[name] = (c.counts[name] or 0) + 1 end

-- Writes what the call has gathered and gives its reply.
local function leave(c, reply)
  local set = {}
  local function put(field, value) set[#set + 1] = field; set[#set + 1] = int(value) end
  if c.granted then put('fence', c.fence) end
  if c.rolled or c.remembered then
    put('gen', c.gen); put('ids', c.ids); put('ids_before', c.ids_before)
    put('fill', c.fill); put('fill_before', c.fill_before)
  end
  if #set > 0 then redis.call('HSET', KEYS[1], unpack(set)) end
  for name, n in pairs(c.counts) do redis.call('HINCRBY', KEYS[1], name, n) end
  if c.lane then
    redis.call('SET', KEYS[5], cmsgpack.pack(c.lane.number, c.lane.hash, reply), 'PXAT', int(c.ms + LANE_MS))
  end
  return reply
end

-- The next fence: later than every other one and not before the present time.
local function next_fence(c)
  c.fence = math.max(c.fence + 1, c.now)
  c.granted = true
  return c.fence
end

local function remember(c, bucket, digest, state, fence, place, hash)
  if redis.call('HSET', bucket, digest:sub(9), struct.pack(DONE, state, fence, place, hash)) == 0 then return end
  local fill = redis.call('HLEN', bucket)
  if fill == 1 then redis.call('PEXPIREAT', bucket, int((c.gen + 2) * c.window)) end
  c.remembered, c.ids, c.fill = true, c.ids + 1, math.max(c.fill, fill)
end

-- What is remembered of an id: the packed record, and whether only the older generation knows it.
local function recall(now_bucket, before_bucket, digest)
  local record = redis.call('HGET', now_bucket, digest:sub(9))
  if record then return record, false end
  return redis.call('HGET', before_bucket, digest:sub(9)), true
end

local function conflicts(a, b) return a ~= b and a ~= NO_HASH and b ~= NO_HASH end

local function labels(record)
  local a = record:find('\0', OPEN_BYTES + 1, true)
  local b = record:find('\0', a + 1, true)
  return record:sub(OPEN_BYTES + 1, a - 1), record:sub(a + 1, b - 1), record:sub(b + 1)
end

-- One entry of a stream of recent duplicates. The counters are exact; the entries of one call are bounded.
local function note(c, stream, e)
  if c.notes[stream] == NOTES_MAX then return end
  c.notes[stream] = c.notes[stream] + 1
  redis.call('XADD', KEYS[stream], 'MAXLEN', '~', STREAM_LENGTH, '*', 'at', int(c.now), 'cause', e.cause,
    'outcome', e.outcome, 'late', e.late and '1' or '0', 'id', e.id, 'source', e.source, 'place', e.place,
    'owner', e.owner, 'first', int(e.first), 'first_place', e.first_place, 'first_owner', e.first_owner or '')
end

local function count_gap(c, first)
  local w = c.window
  local bounds = {1e6, 1e7, 6e7, 6e8, 3.6e9, 8.64e10, w * 500, w * 800, w * 1000}
  table.sort(bounds)
  local i = 0
  while i < 9 and c.now - first > bounds[i + 1] do i = i + 1 end
  count(c, 'gap:' .. i)
end

-- Counts a duplicate and notes it for people.
local function duplicate(c, e)
  count(c, 'dup:' .. e.cause .. ':' .. e.outcome)
  if e.late then count(c, 'late') end
  if e.cause ~= 'conflict' then count_gap(c, e.first) end
  note(c, (e.cause == 'conflict' or e.outcome == 'executed') and 4 or 3, e)
end

-- The number of events when the arguments from `first` on are whole groups of `per`, with `keys` keys each; or nil.
local function events(first, per, first_key, keys)
  local n = (#ARGV - first + 1) / per
  if n ~= math.floor(n) or n < 1 or n > EVENTS_MAX or #KEYS ~= first_key - 1 + n * keys then return nil end
  return n
end
