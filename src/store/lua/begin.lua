-- A root: the state is absent and the outbox is not full, then both are written. KEYS 7 T:o   8 T:g   9 T:s:<aggregate>
-- ARGV 4 most unsent entries; then the change.  Replies: OK id ... | EXISTS | FULL entries

local function begin()
  local c, refused = enter('begin')
  if not c then return refused end
  local bound = whole(ARGV[4])
  local change, at = read_change(5, KEYS[9])
  if #KEYS ~= 9 or not bound or not change or at ~= #ARGV + 1 or #change.fields == 0 then return {'BADARG', 'change'} end
  if not has_type(KEYS[7], 'stream') or not has_type(KEYS[8], 'zset') or not has_type(KEYS[9], 'hash') then
    return {'BADARG', 'type'}
  end
  if call('EXISTS', KEYS[9]) == 1 then return leave(c, {'OK', 'EXISTS'}) end
  local unsent = call('XLEN', KEYS[7])
  if unsent >= bound then return leave(c, {'OK', 'FULL ' .. int(unsent)}) end
  local _, ids = write_change(c, change, 0)
  return leave(c, {'OK', table.concat({'OK', unpack(ids)}, ' ')})
end

return begin()
