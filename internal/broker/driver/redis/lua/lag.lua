-- Says how far a group is behind. ARGV: group. Returns how many entries wait,
-- whether that is certain, how many are pending, and the id of the oldest entry
-- that is not acknowledged, or ''.
local groups = redis.call('EXISTS', stream) == 1 and redis.call('XINFO', 'GROUPS', stream) or {}
for _, g in ipairs(groups) do
  g = named(g)
  if g.name == ARGV[1] then
    local lag, known = g.lag or redis.call('XLEN', stream), g.lag and 1 or 0
    if redis.call('HGET', settings, 'life') ~= life() then
      local last = last_id(named(redis.call('XINFO', 'STREAM', stream)))
      if g['last-delivered-id'] == last then lag, known = 0, 1 else known = 0 end
    end
    local oldest = ''
    if g.pending > 0 then
      oldest = redis.call('XPENDING', stream, g.name)[2]
    elseif lag ~= 0 then
      local next = redis.call('XRANGE', stream, '(' .. g['last-delivered-id'], '+', 'COUNT', 1)[1]
      if next then oldest = next[1] end
    end
    return { lag, known, g.pending, oldest }
  end
end
return redis.error_reply('NOGROUP no such group')
