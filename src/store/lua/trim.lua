-- Entries that Kafka has acknowledged leave the outbox. KEYS 7 T:o.  ARGV 4 fence of the relay, then entry ids.
-- Replies: OK removed | FENCED

local function trim()
  local c, refused = enter('trim')
  if not c then return refused end
  local fence, ids = whole(ARGV[4]), {}
  if #KEYS ~= 7 or not fence or #ARGV < 5 or #ARGV > 4 + EVENTS_MAX then return {'BADARG', 'shape'} end
  for i = 5, #ARGV do
    local ms, number = ARGV[i]:match('^(%d+)%-(%d+)$')
    if not whole(ms) or not whole(number) then return {'BADARG', 'entry'} end
    ids[i - 4] = ARGV[i]
  end
  if not has_type(KEYS[7], 'stream') then return {'BADARG', 'type'} end
  if tonumber(call('HGET', KEYS[1], 'relay_fence') or '0') ~= fence then return leave(c, {'OK', 'FENCED'}) end
  return leave(c, {'OK', 'OK ' .. call('XDEL', KEYS[7], unpack(ids))})
end

return trim()
