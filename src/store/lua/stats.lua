-- One shard's books in one step: the fields of T:m, then open records and the outbox. KEYS 7 T:o
-- ARGV 3 incarnation.  Reply: OK, time in us, open records, outbox entries, id of the oldest entry, then field, value ...

local m = call('HGETALL', KEYS[1])
local inc = call('HGET', KEYS[1], 'inc')
if not inc or inc ~= ARGV[3] then return {'AMNESIA', inc or ''} end
local first = call('XRANGE', KEYS[7], '-', '+', 'COUNT', 1)[1]
local reply = {'OK', int(server_us()), int(call('HLEN', KEYS[2])), int(call('XLEN', KEYS[7])), first and first[1] or ''}
for i = 1, #m do reply[5 + i] = m[i] end
return reply
