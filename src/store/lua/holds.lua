-- release and extend. ARGV 4 milliseconds   5 state after the call; then per event: digest, fence
-- Replies: OK | AGAIN | FENCED | GONE

local function touch_events(state_after)
  local c, refused = enter('hold ' .. state_after)
  if not c then return refused end
  local n, ms = events(6, 2, 7, 0), whole(ARGV[4])
  if not n or not ms then return {'BADARG', 'shape'} end
  local digests = {}
  for i = 1, n do
    digests[i] = ARGV[4 + 2 * i]
    if #digests[i] ~= 16 or not whole(ARGV[5 + 2 * i]) then return {'BADARG', 'event ' .. i} end
  end
  local stored, open, put, reply = call('HMGET', KEYS[2], unpack(digests)), {}, {}, {'OK'}
  for i, digest in ipairs(digests) do
    local record, answer = open[digest] or stored[i], 'GONE'
    if record then
      local held, attempt, fence, place, hash = from_bytes(OPEN, record)
      if fence ~= tonumber(ARGV[5 + 2 * i]) then answer = 'FENCED'
      elseif held == 'P' then
        record = to_bytes(OPEN, state_after, attempt, fence, place, hash, c.ms + ms) .. record:sub(OPEN_BYTES + 1)
        open[digest] = record
        put[#put + 1] = digest; put[#put + 1] = record
        answer = 'OK'
        if state_after ~= 'P' then count(c, 'released') end
        if state_after == 'H' then count(c, 'handed_back') end
      else answer = state_after == 'P' and 'FENCED' or 'AGAIN' end
    end
    reply[i + 1] = answer
  end
  if #put > 0 then call('HSET', KEYS[2], unpack(put)) end
  return leave(c, reply)
end
