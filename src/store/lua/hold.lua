-- The outbox of the shard for one relay at a time. ARGV 4 owner   5 lease in ms.  Replies: H fence | B ms owner

local function hold()
  local c, refused = enter('hold')
  if not c then return refused end
  local owner, ms = ARGV[4], whole(ARGV[5])
  if #ARGV ~= 5 or not ms or owner == '' then return {'BADARG', 'shape'} end
  local m = call('HMGET', KEYS[1], 'relay_owner', 'relay_until', 'relay_fence')
  local till = tonumber(m[2] or '0')
  if m[1] and m[1] ~= owner and c.ms < till then
    return leave(c, {'OK', 'B ' .. int(till - c.ms) .. ' ' .. m[1]})
  end
  local fence = m[1] == owner and c.ms < till and tonumber(m[3]) or next_fence(c)
  call('HSET', KEYS[1], 'relay_owner', owner, 'relay_until', int(c.ms + ms), 'relay_fence', int(fence))
  return leave(c, {'OK', 'H ' .. int(fence)})
end

return hold()
