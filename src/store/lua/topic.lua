-- The number of a topic, assigned once. KEYS 1 led2:<ns>:topics.  ARGV 1 topic.  Replies: OK number | BADARG why

local known = call('HGET', KEYS[1], ARGV[1])
if not known then
  local n = call('HLEN', KEYS[1]) + 1
  if n > 65535 then return {'BADARG', 'topics'} end
  call('HSET', KEYS[1], ARGV[1], int(n))
  known = int(n)
end
return {'OK', known}
