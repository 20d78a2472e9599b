-- complete (C) and fail (F).
-- KEYS from 7, two per event: bucket of this generation, bucket of the one before
-- ARGV 4 owner; then per event: digest; fence, place, payload hash as they will be remembered; id NUL source.
-- Replies: OK | AGAIN | FENCED | ORPHAN

-- The digests of the events and what the call asks for, or nil and what is wrong. The other arguments of event i stand
-- behind ARGV[3 * i + 2].
local function read_finishes(op)
  local n = events(5, 3, 7, 2)
  if not n then return nil, 'shape' end
  local digests, parts = {}, {op, ARGV[4], '\0'}
  local p = #parts
  for i = 1, n do
    local a = 3 * i + 2
    local digest, done = ARGV[a], ARGV[a + 1]
    if #digest ~= 16 or #done ~= DONE_BYTES or not find(ARGV[a + 2], '\0', 1, true) then return nil, 'event ' .. i end
    digests[i], parts[p + 1], parts[p + 2], p = digest, digest, done, p + 2
  end
  return digests, parts
end

-- Keeps the owner of a completion that an earlier holder may still run into.
local function keep_winner(c, digest, owner)
  if call('HLEN', KEYS[6]) >= WINNERS_MAX then call('DEL', KEYS[6]) end
  call('HSET', KEYS[6], digest, owner)
  call('PEXPIREAT', KEYS[6], int(c.ms + WINNERS_MS))
end

-- Settles an open record: it becomes a remembered id.
local function settle_open(c, bucket, digest, record, state, done)
  remember(c, bucket, digest, state == 'F' and 'F' .. done or done)
  local _, high, low = byte(record, 1, 3)
  if low > 1 or high > 0 then keep_winner(c, digest, owner_of(record)) end
end

-- Somebody else holds or held the event. A refused completion means that the work was done twice.
local function fence_off(c, i, state, first, first_place, first_owner)
  count(c, 'fenced')
  if state == 'C' then
    local id, source = labels(ARGV[3 * i + 4])
    duplicate(c, {cause = 'concurrent', outcome = 'executed', id = id, source = source, place = sub(ARGV[3 * i + 3], 8, 17),
      owner = ARGV[4], first = first, first_place = first_place, first_owner = first_owner})
  end
  return 'FENCED'
end

local function finish_one(c, i, digest, record, state)
  local bucket, done = KEYS[5 + 2 * i], ARGV[3 * i + 3]
  if record then
    if byte(record) == IN_FLIGHT and find(record, done, 4, true) == 4 then
      settle_open(c, bucket, digest, record, state, done)
      return 'OK'
    end
    local held, _, fence, place = from_bytes(OPEN, record)
    if held == 'P' and fence == from_bytes('>I7', done) then
      settle_open(c, bucket, digest, record, state, sub(record, 4, 22))
      return 'OK'
    end
    return fence_off(c, i, state, fence, place, owner_of(record))
  end
  local found = recall(c, bucket, KEYS[6 + 2 * i], digest)
  if found then
    local was, fence, place = read_done(found)
    if was == state and fence == from_bytes('>I7', done) then return 'AGAIN' end
    return fence_off(c, i, state, fence, place, call('HGET', KEYS[6], digest) or '')
  end
  remember(c, bucket, digest, state == 'F' and 'F' .. done or done)
  count(c, 'orphan')
  return 'ORPHAN'
end

local function finish_events(state)
  local op = state == 'C' and 'complete' or 'fail'
  local digests, parts = read_finishes(op)
  local c, refused = enter(op, digests and parts)
  if not c then return refused end
  if not digests then return {'BADARG', parts} end
  local stored, settled, gone, goes, reply = call('HMGET', KEYS[2], unpack(digests)), {}, {}, 0, {'OK'}
  for i = 1, #digests do
    local digest = digests[i]
    local answer = finish_one(c, i, digest, not settled[digest] and stored[i], state)
    if answer == 'OK' then settled[digest] = true; gone[goes + 1], goes = digest, goes + 1 end
    reply[i + 1] = answer
  end
  if goes > 0 then
    call('HDEL', KEYS[2], unpack(gone))
    c.counts[state == 'C' and 'completed' or 'failed'] = goes
  end
  return leave(c, reply)
end
