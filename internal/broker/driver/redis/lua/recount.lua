-- Puts right how many entries groups have read. ARGV: the life of the server for
-- which this was found out, and for each group its name and by how much the
-- number is wrong. Whoever is first does it.
local alive = ARGV[1]
if redis.call('HGET', settings, 'life') == alive or life() ~= alive then return 0 end
redis.call('HSET', settings, 'life', alive)
local wrong = {}
for i = 2, #ARGV, 2 do wrong[ARGV[i]] = tonumber(ARGV[i + 1]) end
for _, g in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  g = named(g)
  local by = wrong[g.name] or 0
  if by ~= 0 and g['entries-read'] then
    redis.call('XGROUP', 'SETID', stream, g.name, g['last-delivered-id'], 'ENTRIESREAD', g['entries-read'] + by)
  end
end
return 1
