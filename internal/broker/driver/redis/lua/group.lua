-- Makes a group exist. ARGV: name, settings of a new one, whether it starts at
-- the end of the topic. Returns 0 when there is no topic.
local name = ARGV[1]
if redis.call('EXISTS', stream, settings) < 2 then return 0 end
local known = redis.call('HSETNX', settings, 'group:' .. name, ARGV[2]) == 0
for _, g in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  if named(g).name == name then return 1 end
end
local info = named(redis.call('XINFO', 'STREAM', stream))
local id, read = '0-0', info['entries-added'] - info.length
-- A group that is known was destroyed: what it had not read is behind any end.
if ARGV[3] == '1' and not known then id, read = last_id(info), info['entries-added'] end
redis.call('XGROUP', 'CREATE', stream, name, id, 'ENTRIESREAD', read)
return 1
