-- What a consumer has found out about the store itself.
-- KEYS from 7: lanes.  ARGV 4 calls that the store took back   5 records that are read again   6 ms for which offsets wait
-- for a confirmation at least; then per lane the number of the last call that was answered.
-- Replies: calls that were taken back, with those that the lanes do not know any more

local function note_findings()
  local c, refused = enter('note')
  if not c then return refused end
  local lost, reread, wait = whole(ARGV[4]), whole(ARGV[5]), whole(ARGV[6])
  if #ARGV ~= #KEYS or not lost or not reread or not wait then return {'BADARG', 'shape'} end
  for i = 7, #KEYS do
    local answered, kept = whole(ARGV[i]), call('GET', KEYS[i])
    if not answered then return {'BADARG', 'lane'} end
    lost = lost + math.max(0, answered - (kept and cmsgpack.unpack(kept) or 0))
  end
  if lost > 0 then c.counts.lost = lost end
  if reread > 0 then c.counts.reread = reread end
  if wait > 0 then
    local m = call('HMGET', KEYS[1], 'unconfirmed_since', 'unconfirmed_till')
    local since = c.ms < tonumber(m[2] or '0') and m[1] or int(c.ms)
    call('HSET', KEYS[1], 'unconfirmed_since', since, 'unconfirmed_till', int(c.ms + wait))
  end
  return leave(c, {'OK', int(lost)})
end

return note_findings()
