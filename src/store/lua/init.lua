-- Explicit creation. KEYS 1 T:m.  ARGV 1 incarnation   2 window in ms.  Replies: OK | EXISTS incarnation

local there = call('HGET', KEYS[1], 'inc')
if there then return {'EXISTS', there} end
local window = whole(ARGV[2])
if not window or window < 1 then return {'BADARG', 'window'} end
local gen = math.floor(server_us() / (window * 1000))
call('HSET', KEYS[1], 'inc', ARGV[1], 'window', ARGV[2], 'fence', '0', 'gen', int(gen), 'ids', '0', 'ids_before', '0',
  'fill', '0', 'fill_before', '0')
return {'OK', ARGV[1]}
