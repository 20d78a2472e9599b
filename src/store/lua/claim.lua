-- Replies per event: G fence attempt how | D cause first_us first_place late | B ms owner | L ms | X payload_hash

return grant_events(nil, function(c, e, fence, attempt)
  local till = c.ms + tonumber(ARGV[4])
  return struct.pack(OPEN, 'P', fence, till, attempt, e.place, e.hash) .. ARGV[6] .. '\0' .. e.id .. '\0' .. e.source
end)
