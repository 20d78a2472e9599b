-- Claim and completion in one. ARGV 4 is the report (executed, skipped, restore) in place of the lease.
-- Replies as claim's, and K first_us: a restore met what is known.

local REPORTS = {executed = true, skipped = true, restore = true}
local report = ARGV[4]
if not REPORTS[report] then return {'BADARG', 'report'} end
ARGV[4] = '0'

return grant_events(report, function(c, i, fence)
  count(c, 'completed')
  if report == 'executed' then count(c, 'reported') end
  remember(c, KEYS[5 + 2 * i], ARGV[3 * i + 4], to_bytes('>I7', fence) .. what_of(ARGV[3 * i + 5]))
  return false
end)
