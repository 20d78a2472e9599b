-- ARGV 5 why: failed counts against the retry bound, handed_back does not.
local STATES = {failed = 'R', handed_back = 'H'}
local state = STATES[ARGV[5]]
if not state then return {'BADARG', 'reason'} end
return touch_events(state)
