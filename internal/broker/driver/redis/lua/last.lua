-- The id of the last entry that a stream ever had.
return last_id(named(redis.call('XINFO', 'STREAM', stream)))
