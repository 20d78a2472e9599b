-- Completion and change in one step, or nothing. KEYS 7 T:o   8 T:g; then per event: bucket, bucket before, T:s:<aggregate>
-- ARGV 4 owner; then per event: digest, fence, expected version, change.  Replies: OK version id ... | AGAIN | FENCED | GONE | CAS version

local function read_commits()
  if #KEYS < 11 or (#KEYS - 8) % 3 ~= 0 or #KEYS > 8 + 3 * EVENTS_MAX then return nil, 'shape' end
  if not has_type(KEYS[7], 'stream') or not has_type(KEYS[8], 'zset') then return nil, 'type' end
  local list, digests, at = {}, {}, 5
  for i = 1, (#KEYS - 8) / 3 do
    local k = 6 + 3 * i
    local e = {digest = ARGV[at] or '', fence = whole(ARGV[at + 1]), version = whole(ARGV[at + 2]), place = '', hash = '',
      bucket = KEYS[k], before = KEYS[k + 1]}
    if #e.digest ~= 16 or not e.fence or not e.version then return nil, 'event ' .. i end
    e.change, at = read_change(at + 3, KEYS[k + 2])
    if not e.change then return nil, 'change ' .. i end
    if not has_type(KEYS[k + 2], 'hash') then return nil, 'type' end
    list[i], digests[i] = e, e.digest
  end
  if at ~= #ARGV + 1 then return nil, 'shape' end
  return list, digests
end

-- Gives the reply and whether the open record is settled.
local function commit_one(c, e, record)
  if not record then
    local done = recall(c, e.bucket, e.before, e.digest)
    if not done then count(c, 'gone'); return 'GONE' end
    local was, fence = read_done(done)
    if was == 'C' and fence == e.fence then return 'AGAIN' end
    count(c, 'fenced')
    return 'FENCED'
  end
  local held, _, fence = from_bytes(OPEN, record)
  if held ~= 'P' or fence ~= e.fence then count(c, 'fenced'); return 'FENCED' end
  local version = tonumber(call('HGET', e.change.key, '_v') or '0')
  if version ~= e.version then count(c, 'cas'); return 'CAS ' .. int(version) end
  settle_open(c, e.bucket, e.digest, record, 'C', sub(record, 4, 22))
  count(c, 'completed')
  local after, ids = write_change(c, e.change, version)
  return table.concat({'OK', int(after), unpack(ids)}, ' '), true
end

local function commit_events()
  local c, refused = enter('commit')
  if not c then return refused end
  local list, digests = read_commits()
  if not list then return {'BADARG', digests} end
  c.buckets_from, c.keys_per_event = 9, 3
  local stored, settled, gone, reply = call('HMGET', KEYS[2], unpack(digests)), {}, {}, {'OK'}
  for i, e in ipairs(list) do
    local answer, done = commit_one(c, e, not settled[e.digest] and stored[i])
    if done then settled[e.digest] = true; gone[#gone + 1] = e.digest end
    reply[i + 1] = answer
  end
  if #gone > 0 then call('HDEL', KEYS[2], unpack(gone)) end
  return leave(c, reply)
end

return commit_events()
