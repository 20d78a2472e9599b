-- complete (C) and fail (F).
-- KEYS from 7, two per event: bucket of this generation, bucket of the one before
-- ARGV 4 owner; then per event: digest, fence, place, payload hash, id, source.  Replies: OK | AGAIN | FENCED | ORPHAN

local function read_finishes()
  local n = events(5, 6, 7, 2)
  if not n then return nil, 'shape' end
  local list, digests = {}, {}
  for i = 1, n do
    local a = 6 * i - 2
    local e = {digest = ARGV[a + 1], fence = whole(ARGV[a + 2]), place = ARGV[a + 3], hash = ARGV[a + 4],
      id = ARGV[a + 5], source = ARGV[a + 6], bucket = KEYS[5 + 2 * i], before = KEYS[6 + 2 * i]}
    if #e.digest ~= 16 or not e.fence or #e.place ~= 10 or #e.hash ~= 2 then return nil, 'event ' .. i end
    list[i], digests[i] = e, e.digest
  end
  return list, digests
end

-- Keeps the owner of a completion that an earlier holder may still run into.
local function keep_winner(c, digest, owner)
  if redis.call('HLEN', KEYS[6]) >= WINNERS_MAX then redis.call('DEL', KEYS[6]) end
  redis.call('HSET', KEYS[6], digest, owner)
  redis.call('PEXPIREAT', KEYS[6], int(c.ms + WINNERS_MS))
end

-- Settles an open record with its own fence: it becomes a remembered id.
local function settle_open(c, e, record, state)
  local _, fence, _, attempt, place, hash = struct.unpack(OPEN, record)
  remember(c, e.bucket, e.digest, state, fence, place, hash)
  if attempt > 1 then keep_winner(c, e.digest, (labels(record))) end
  count(c, state == 'C' and 'completed' or 'failed')
end

-- Somebody else holds or held the event. A refused completion means that the work was done twice.
local function fence_off(c, e, state, first, first_place, first_owner)
  count(c, 'fenced')
  if state == 'C' then
    duplicate(c, {cause = 'concurrent', outcome = 'executed', id = e.id, source = e.source, place = e.place,
      owner = ARGV[4], first = first, first_place = first_place, first_owner = first_owner})
  end
  return 'FENCED'
end

local function finish_one(c, e, record, state)
  if record then
    local held, fence, _, _, place = struct.unpack(OPEN, record)
    if held == 'P' and fence == e.fence then
      settle_open(c, e, record, state)
      return 'OK'
    end
    return fence_off(c, e, state, fence, place, (labels(record)))
  end
  local done = recall(e.bucket, e.before, e.digest)
  if done then
    local was, fence, place = struct.unpack(DONE, done)
    if was == state and fence == e.fence then return 'AGAIN' end
    return fence_off(c, e, state, fence, place, redis.call('HGET', KEYS[6], e.digest) or '')
  end
  remember(c, e.bucket, e.digest, state, e.fence, e.place, e.hash)
  count(c, 'orphan')
  return 'ORPHAN'
end

local function finish_events(state)
  local c, refused = enter(state == 'C' and 'complete' or 'fail')
  if not c then return refused end
  local list, digests = read_finishes()
  if not list then return {'BADARG', digests} end
  local stored, settled, gone, reply = redis.call('HMGET', KEYS[2], unpack(digests)), {}, {}, {'OK'}
  for i, e in ipairs(list) do
    local answer = finish_one(c, e, not settled[e.digest] and stored[i], state)
    if answer == 'OK' then settled[e.digest] = true; gone[#gone + 1] = e.digest end
    reply[i + 1] = answer
  end
  if #gone > 0 then redis.call('HDEL', KEYS[2], unpack(gone)) end
  return leave(c, reply)
end
