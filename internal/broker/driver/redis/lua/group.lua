-- Makes a group exist. ARGV: name, settings of a new one, where it starts:
-- 'earliest', 'latest', 'ask', or an id with the number of entries up to it.
-- Returns 'missing' when there is no topic, 'ask' when it is new and wants to
-- know where to start, or its settings.
local name, start = ARGV[1], ARGV[3]
if redis.call('EXISTS', stream, settings) < 2 then return { 'missing' } end
local field = 'group:' .. name
for _, g in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  if named(g).name == name then
    redis.call('HSETNX', settings, field, ARGV[2])
    return { 'there', redis.call('HGET', settings, field) }
  end
end
if start == 'ask' then return { 'ask' } end
local info = named(redis.call('XINFO', 'STREAM', stream))
local id, read = start, ARGV[4]
if start == 'earliest' then
  id, read = '0-0', info['entries-added'] - info.length
elseif start == 'latest' then
  id, read = info['last-generated-id'], info['entries-added']
end
redis.call('XGROUP', 'CREATE', stream, name, id, 'ENTRIESREAD', read)
redis.call('HSET', settings, field, ARGV[2])
return { 'new', ARGV[2] }
