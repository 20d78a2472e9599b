-- ARGV 5 is empty.
return touch_events('P')
