-- ARGV 4 fence of the relay.  Replies: OK | FENCED

local function let_go()
  local c, refused = enter('let go')
  if not c then return refused end
  local fence = whole(ARGV[4])
  if #ARGV ~= 4 or not fence then return {'BADARG', 'shape'} end
  if tonumber(call('HGET', KEYS[1], 'relay_fence') or '0') ~= fence then return leave(c, {'OK', 'FENCED'}) end
  call('HDEL', KEYS[1], 'relay_owner', 'relay_until', 'relay_fence')
  return leave(c, {'OK', 'OK'})
end

return let_go()
