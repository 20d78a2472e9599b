-- Replies per event: G fence attempt how | D cause first_us first_place late | B ms owner | L ms | X payload_hash

local head, block, tail

-- Fences follow each other: all of a record's beginning but the last byte of its fence is packed once for many.
return grant_events(nil, function(c, i, fence, attempt)
  tail = tail or to_bytes('>I6', c.ms + ARGV[4]) .. ARGV[6] .. '\0'
  local low, a = fence % 256, 3 * i
  if attempt > 1 or block ~= fence - low then
    head, block = sub(to_bytes('>c1I2I7', 'P', attempt, fence), 1, 9), attempt == 1 and fence - low
  end
  return head .. char(low) .. what_of(ARGV[a + 5]) .. tail .. ARGV[a + 6]
end)
