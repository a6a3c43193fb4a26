-- Makes a topic exist. ARGV: settings of a new one, as names and values. Returns
-- whether it was there, and its settings.
local there = redis.call('EXISTS', settings)
if there == 0 then
  redis.call('HSET', settings, unpack(ARGV))
  redis.call('HSET', settings, 'life', life())
end
if redis.call('EXISTS', stream) == 0 then
  redis.call('XGROUP', 'CREATE', stream, returned, '$', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', stream, returned)
end
return { there, redis.call('HMGET', settings, 'max_age_ms', 'max_bytes', 'replicas', 'dedupe_ms') }
