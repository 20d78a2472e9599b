-- claim and seen: who may do the work of an event, or what is known of it.
-- KEYS from 7, two per event: bucket of this generation, bucket of the one before
-- ARGV 4 lease in ms   5 intent: normal, replay, redrive   6 owner; then per event: digest, place, payload hash, waited, id, source

local INTENTS = {normal = true, replay = true, redrive = true}

local function read_events()
  local n = events(7, 6, 7, 2)
  if not n then return nil, 'shape' end
  if not whole(ARGV[4]) or not INTENTS[ARGV[5]] then return nil, 'terms' end
  if ARGV[6] == '' or ARGV[6]:find('\0', 1, true) then return nil, 'owner' end
  local list, digests = {}, {}
  for i = 1, n do
    local a = 6 * i
    local e = {digest = ARGV[a + 1], place = ARGV[a + 2], hash = ARGV[a + 3], waited = ARGV[a + 4] == '1',
      id = ARGV[a + 5], source = ARGV[a + 6], bucket = KEYS[5 + 2 * i], before = KEYS[6 + 2 * i]}
    if #e.digest ~= 16 or #e.place ~= 10 or #e.hash ~= 2 or e.id:find('\0', 1, true) then return nil, 'event ' .. i end
    list[i], digests[i] = e, e.digest
  end
  return list, digests
end

-- Judges an event that has an open record: how it may be granted and the attempt, or nil and the reply.
local function judge_open(c, e, record, report)
  local state, fence, till, attempt, place, hash = struct.unpack(OPEN, record)
  if report ~= 'restore' and conflicts(hash, e.hash) then
    local owner = labels(record)
    duplicate(c, {cause = 'conflict', outcome = report == 'executed' and 'executed' or 'suppressed', id = e.id,
      source = e.source, place = e.place, owner = ARGV[6], first = fence, first_place = place, first_owner = owner})
    return nil, 'X ' .. hex(hash)
  end
  if state == 'P' then
    if c.ms < till then
      count(c, 'busy')
      return nil, 'B ' .. int(till - c.ms) .. ' ' .. (labels(record))
    end
    count(c, 'superseded')
    return 'takeover', attempt + 1
  end
  if ARGV[5] ~= 'redrive' and c.ms < till then
    count(c, 'later')
    return nil, 'L ' .. int(till - c.ms)
  end
  return 'retry', state == 'R' and attempt + 1 or attempt
end

-- Judges an event that is remembered, in the same way.
local function judge_done(c, e, record, late, report)
  local state, fence, place, hash = struct.unpack(DONE, record)
  if report == 'restore' then return nil, 'K ' .. int(fence) end
  local cause
  if conflicts(hash, e.hash) then cause = 'conflict'
  elseif state == 'F' then
    if ARGV[5] == 'redrive' then return 'redrive', 1 end
    cause = 'dead'
  elseif ARGV[5] ~= 'normal' then cause = 'replay'
  elseif e.waited then cause = 'concurrent'
  elseif place == e.place then cause = 'redelivery'
  else cause = 'republish' end
  duplicate(c, {cause = cause, outcome = report == 'executed' and 'executed' or 'suppressed', late = late, id = e.id,
    source = e.source, place = e.place, owner = ARGV[6], first = fence, first_place = place})
  if cause == 'conflict' then return nil, 'X ' .. hex(hash) end
  return nil, 'D ' .. cause .. ' ' .. int(fence) .. ' ' .. hex(place) .. ' ' .. (late and '1' or '0')
end

local function judge(c, e, record, report)
  if record then return judge_open(c, e, record, report) end
  local done, late = recall(e.bucket, e.before, e.digest)
  if done then return judge_done(c, e, done, late, report) end
  return 'first', 1
end

-- `settle(c, e, fence, attempt)` gives the open record that the grant leaves, or false when it leaves none.
local function grant_events(report, settle)
  local c, refused = enter(report and 'seen ' .. report or 'claim')
  if not c then return refused end
  local list, digests = read_events()
  if not list then return {'BADARG', digests} end
  local stored, open, put, gone, reply = redis.call('HMGET', KEYS[2], unpack(digests)), {}, {}, {}, {'OK'}
  for i, e in ipairs(list) do
    local record = open[e.digest]
    if record == nil then record = stored[i] end
    local how, answer = judge(c, e, record, report)
    if how then
      count(c, 'granted_' .. how)
      local fence = next_fence(c)
      open[e.digest] = settle(c, e, fence, answer)
      if open[e.digest] then put[#put + 1] = e.digest; put[#put + 1] = open[e.digest]
      elseif record then gone[#gone + 1] = e.digest end
      answer = 'G ' .. int(fence) .. ' ' .. answer .. ' ' .. how
    end
    reply[i + 1] = answer
  end
  if #put > 0 then redis.call('HSET', KEYS[2], unpack(put)) end
  if #gone > 0 then redis.call('HDEL', KEYS[2], unpack(gone)) end
  return leave(c, reply)
end
