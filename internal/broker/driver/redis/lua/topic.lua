-- Makes a topic exist. ARGV: settings of a new one, as names and values. Those of
-- one that is there stay: every process that publishes goes by them.
if redis.call('EXISTS', settings) == 0 then redis.call('HSET', settings, 'life', life(), unpack(ARGV)) end
if redis.call('EXISTS', stream) == 0 then
  redis.call('XGROUP', 'CREATE', stream, returned, '$', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', stream, returned)
  redis.call('HDEL', settings, 'shut')
end
return 1
