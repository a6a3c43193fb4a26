-- Counts entries backwards, some at a time: it has to read them all. ARGV: the
-- id to count down to, exclusive, and the id to begin at, '+' for the last.
-- Returns how many it found, the id to go on at, '' when it is done, and how many
-- entries were ever added.
local info = named(redis.call('XINFO', 'STREAM', stream))
local average = (redis.call('MEMORY', 'USAGE', stream, 'SAMPLES', 1000) or 0) / math.max(info.length, 1)
local n = math.max(math.min(math.floor(4194304 / math.max(average, 1)), 2000), 10)
local found = redis.call('XREVRANGE', stream, ARGV[2], '(' .. ARGV[1], 'COUNT', n)
return { #found, #found == n and '(' .. found[n][1] or '', info['entries-added'] }
