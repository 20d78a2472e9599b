-- complete (C) and fail (F).
-- KEYS from 7, two per event: bucket of this generation, bucket of the one before
-- ARGV 4 owner; then per event: digest, fence, place, payload hash, id, source.  Replies: OK | AGAIN | FENCED | ORPHAN

-- The digests and fences of the events and what the call asks for, or nil and what is wrong. The other arguments of event i
-- stand behind ARGV[6 * i].
local function read_finishes()
  local n = events(5, 6, 7, 2)
  if not n then return nil, 'shape' end
  local digests, fences, parts = {}, {}, {ARGV[4] .. '\0'}
  for i = 1, n do
    local a = 6 * i
    local digest, place, hash = ARGV[a - 1], ARGV[a + 1], ARGV[a + 2]
    local fence = whole(ARGV[a])
    if #digest ~= 16 or not fence or #place ~= 10 or #hash ~= 2 then return nil, 'event ' .. i end
    digests[i], fences[i], parts[i + 1] = digest, fence, digest .. place .. hash .. ARGV[a] .. ' '
  end
  return digests, fences, parts
end

-- Keeps the owner of a completion that an earlier holder may still run into.
local function keep_winner(c, digest, owner)
  if call('HLEN', KEYS[6]) >= WINNERS_MAX then call('DEL', KEYS[6]) end
  call('HSET', KEYS[6], digest, owner)
  call('PEXPIREAT', KEYS[6], int(c.ms + WINNERS_MS))
end

-- Settles an open record: it becomes a remembered id, with its fence (bytes 2 to 8), place and payload hash (17 to 28). The
-- attempt stands in bytes 15 and 16.
local function settle_open(c, bucket, digest, record, state)
  remember(c, bucket, digest, state .. sub(record, 2, 8) .. sub(record, 17, 28))
  local high, low = byte(record, 15, 16)
  if high > 0 or low > 1 then keep_winner(c, digest, owner_of(record)) end
end

-- Somebody else holds or held the event. A refused completion means that the work was done twice.
local function fence_off(c, i, state, first, first_place, first_owner)
  count(c, 'fenced')
  local a = 6 * i
  if state == 'C' then
    duplicate(c, {cause = 'concurrent', outcome = 'executed', id = ARGV[a + 3], source = ARGV[a + 4], place = ARGV[a + 1],
      owner = ARGV[4], first = first, first_place = first_place, first_owner = first_owner})
  end
  return 'FENCED'
end

local function finish_one(c, i, digest, asked_fence, record, state)
  local bucket = KEYS[5 + 2 * i]
  if record then
    local held, fence = from_bytes('>c1I7', record)
    if held == 'P' and fence == asked_fence then
      settle_open(c, bucket, digest, record, state)
      return 'OK'
    end
    return fence_off(c, i, state, fence, sub(record, 17, 26), owner_of(record))
  end
  local done = recall(c, bucket, KEYS[6 + 2 * i], digest)
  if done then
    local was, fence, place = from_bytes(DONE, done)
    if was == state and fence == asked_fence then return 'AGAIN' end
    return fence_off(c, i, state, fence, place, call('HGET', KEYS[6], digest) or '')
  end
  remember(c, bucket, digest, to_bytes(DONE, state, asked_fence, ARGV[6 * i + 1], ARGV[6 * i + 2]))
  count(c, 'orphan')
  return 'ORPHAN'
end

local function finish_events(state)
  local digests, fences, parts = read_finishes()
  local c, refused = enter(state == 'C' and 'complete' or 'fail', parts)
  if not c then return refused end
  if not digests then return {'BADARG', fences} end
  local stored, settled, gone, goes, reply = call('HMGET', KEYS[2], unpack(digests)), {}, {}, 0, {'OK'}
  for i, digest in ipairs(digests) do
    local answer = finish_one(c, i, digest, fences[i], not settled[digest] and stored[i], state)
    if answer == 'OK' then settled[digest] = true; gone[goes + 1], goes = digest, goes + 1 end
    reply[i + 1] = answer
  end
  if goes > 0 then
    call('HDEL', KEYS[2], unpack(gone))
    c.counts[state == 'C' and 'completed' or 'failed'] = goes
  end
  return leave(c, reply)
end
