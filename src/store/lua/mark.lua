-- A write that means nothing: whoever waits for it waits for all that was written before. KEYS 1 T:c.  Replies: OK

redis.call('SET', KEYS[1], '1', 'PX', '60000')
return {'OK'}
