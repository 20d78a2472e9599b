-- One step of the clean-up. ARGV 4 cursor   5 oldest end of a lease so far, 0 = none.  Replies: cursor, dropped, oldest end of a lease

local STEP = 200

local function sweep()
  local c, refused = enter('sweep')
  if not c then return refused end
  local oldest = whole(ARGV[5])
  if #ARGV ~= 5 or not ARGV[4]:match('^%d+$') or not oldest then return {'BADARG', 'shape'} end
  local page, dropped = call('HSCAN', KEYS[2], ARGV[4], 'COUNT', STEP), 0
  for i = 1, #page[2], 2 do
    local state, _, _, _, _, till = from_bytes(OPEN, page[2][i + 1])
    if c.ms - till > c.window then
      -- HSCAN may give a field twice.
      if call('HDEL', KEYS[2], page[2][i]) == 1 then
        dropped = dropped + 1
        count(c, state == 'P' and 'abandoned' or 'waiting_dropped')
      end
    elseif state == 'P' and (oldest == 0 or till < oldest) then oldest = till end
  end
  if page[1] == '0' then call('HSET', KEYS[1], 'oldest_lease', int(oldest), 'swept', int(c.ms)) end
  return leave(c, {'OK', page[1], int(dropped), int(oldest)})
end

return sweep()
