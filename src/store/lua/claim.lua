-- Replies per event: G fence attempt how | D cause first_us first_place late | B ms owner | L ms | X payload_hash

local lease

return grant_events(nil, function(c, i, fence, attempt)
  lease = lease or tonumber(ARGV[4])
  local a = 6 * i
  return to_bytes(OPEN, 'P', fence, c.ms + lease, attempt, ARGV[a + 2], ARGV[a + 3])
    .. ARGV[6] .. '\0' .. ARGV[a + 5] .. '\0' .. ARGV[a + 6]
end)
