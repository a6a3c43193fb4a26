-- The id of the last entry that a stream ever had.
return named(redis.call('XINFO', 'STREAM', stream))['last-generated-id']
