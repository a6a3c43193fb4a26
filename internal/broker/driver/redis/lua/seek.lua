-- Moves the cursor of a group and forgets what its workers hold. ARGV: group,
-- and where to as in group.lua.
local group, start = ARGV[1], ARGV[2]
local info = named(redis.call('XINFO', 'STREAM', stream))
local id, read = start, ARGV[3]
if start == 'earliest' then
  id, read = '0-0', info['entries-added'] - info.length
elseif start == 'latest' then
  id, read = info['last-generated-id'], info['entries-added']
end
redis.call('XGROUP', 'SETID', stream, group, id, 'ENTRIESREAD', read)
repeat
  local ids = {}
  for i, p in ipairs(redis.call('XPENDING', stream, group, '-', '+', 1000)) do ids[i] = p[1] end
  if #ids > 0 then redis.call('XACK', stream, group, unpack(ids)) end
until #ids == 0
return 0
