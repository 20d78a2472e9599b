-- claim and seen: who may do the work of an event, or what is known of it.
-- KEYS from 7, two per event: bucket of this generation, bucket of the one before
-- ARGV 4 lease in ms   5 intent: normal, replay, redrive   6 owner; then per event: digest; place, payload hash and, when it
-- waited, a 1; id NUL source

local WAITED = byte('1')
local INTENTS = {normal = true, replay = true, redrive = true}
local FIRST, GRANT, DUPLICATE = 'G ' .. WHOLE .. ' 1 first', 'G ' .. WHOLE .. ' %d %s', 'D %s ' .. WHOLE .. ' %08x%08x%04x %d'

-- Place and payload hash.
local function what_of(delivery) return #delivery == 12 and delivery or sub(delivery, 1, 12) end

-- The digests of the events and what the call asks for (a digest says id and source), or nil and what is wrong. The other
-- arguments of event i stand behind ARGV[3 * i + 4].
local function read_events(op)
  local n = events(7, 3, 7, 2)
  if not n then return nil, 'shape' end
  if not whole(ARGV[4]) or not INTENTS[ARGV[5]] then return nil, 'terms' end
  if ARGV[6] == '' or find(ARGV[6], '\0', 1, true) then return nil, 'owner' end
  local digests, parts = {}, {op, ARGV[4], ' ', ARGV[5], ' ', ARGV[6], '\0'}
  local p = #parts
  for i = 1, n do
    local a = 3 * i + 4
    local digest, delivery = ARGV[a], ARGV[a + 1]
    local shape = #delivery == 12 or #delivery == 13 and byte(delivery, 13) == WAITED
    if #digest ~= 16 or not shape or not find(ARGV[a + 2], '\0', 1, true) then
      return nil, 'event ' .. i
    end
    digests[i], parts[p + 1], parts[p + 2], p = digest, digest, delivery, p + 2
  end
  return digests, parts
end

local function note_event(c, stream, i, e)
  if not stream then return end
  local a = 3 * i + 4
  e.place, e.owner = sub(ARGV[a + 1], 1, 10), ARGV[6]
  e.id, e.source = labels(ARGV[a + 2])
  note(c, stream, e)
end
-- Judges an event that has an open record: how it may be granted and the attempt, or nil and the reply.
local function judge_open(c, i, record, report)
  local state, attempt, fence, place, hash, till = from_bytes(OPEN, record)
  if report ~= 'restore' and conflicts(hash, sub(ARGV[3 * i + 5], 11, 12)) then
    local outcome = report == 'executed' and 'executed' or 'suppressed'
    note_event(c, count_duplicate(c, 'conflict', outcome, false, fence), i,
      {cause = 'conflict', outcome = outcome, first = fence, first_place = place, first_owner = owner_of(record)})
    return nil, 'X ' .. hash_hex(hash)
  end
  if state == 'P' then
    if c.ms < till then
      count(c, 'busy')
      return nil, 'B ' .. int(till - c.ms) .. ' ' .. owner_of(record)
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
local function judge_done(c, i, record, late, report)
  local state, fence, place, hash = read_done(record)
  if report == 'restore' then return nil, 'K ' .. int(fence) end
  local delivery, cause = ARGV[3 * i + 5], nil
  local here = sub(delivery, 1, 10)
  if conflicts(hash, sub(delivery, 11, 12)) then cause = 'conflict'
  elseif state == 'F' then
    -- The very record that was given up is a delivery of it again, whatever is written on it: only another copy runs.
    if ARGV[5] == 'redrive' and place ~= here then return 'redrive', 1 end
    cause = 'dead'
  elseif ARGV[5] ~= 'normal' then cause = 'replay'
  elseif #delivery == 13 then cause = 'concurrent'
  elseif place == here then cause = 'redelivery'
  else cause = 'republish' end
  local outcome = report == 'executed' and 'executed' or 'suppressed'
  local stream = count_duplicate(c, cause, outcome, late, fence)
  if stream then note_event(c, stream, i, {cause = cause, outcome = outcome, late = late, first = fence, first_place = place}) end
  if cause == 'conflict' then return nil, 'X ' .. hash_hex(hash) end
  local p, q, r = from_bytes('>I4I4I2', place)
  return nil, format(DUPLICATE, cause, fence, p, q, r, late and 1 or 0)
end

-- `settle(c, i, fence, attempt)` gives the open record that the grant leaves, or false when it leaves none.
local function grant_events(report, settle)
  local op = report and 'seen ' .. report or 'claim'
  local digests, parts = read_events(op)
  local c, refused = enter(op, digests and parts)
  if not c then return refused end
  if not digests then return {'BADARG', parts} end
  local stored, open, granted, reply = call('HMGET', KEYS[2], unpack(digests)), {}, {}, {'OK'}
  local put, puts, gone, goes = {}, 0, {}, 0
  for i = 1, #digests do
    local digest = digests[i]
    local record, how, answer = open[digest], 'first', 1
    if record == nil then record = stored[i] end
    if record then
      how, answer = judge_open(c, i, record, report)
    else
      local done, late = recall(c, KEYS[5 + 2 * i], KEYS[6 + 2 * i], digest)
      if done then how, answer = judge_done(c, i, done, late, report) end
    end
    if how then
      granted[how] = (granted[how] or 0) + 1
      local fence = next_fence(c)
      local after = settle(c, i, fence, answer)
      open[digest] = after
      if after then put[puts + 1], put[puts + 2], puts = digest, after, puts + 2
      elseif record then gone[goes + 1], goes = digest, goes + 1 end
      answer = how == 'first' and format(FIRST, fence) or format(GRANT, fence, answer, how)
    end
    reply[i + 1] = answer
  end
  if puts > 0 then call('HSET', KEYS[2], unpack(put)) end
  if goes > 0 then call('HDEL', KEYS[2], unpack(gone)) end
  for how, n in pairs(granted) do c.counts['granted_' .. how] = n end
  return leave(c, reply)
end
