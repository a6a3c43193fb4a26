-- Acknowledges, gives back, or keeps entries that a worker holds. ARGV: group,
-- consumer, what to do, delay in ms, the smallest and the largest id, ids.
-- Returns how many of them are with others by now; if any is, nothing is done.
-- Those that are with nobody were settled before, by a call whose answer was
-- lost.
local group, consumer, what, delay = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local mine, held, lost = {}, {}, 0
for _, p in ipairs(redis.call('XPENDING', stream, group, ARGV[5], ARGV[6], 1000000, consumer)) do
  mine[p[1]] = true
end
for i = 7, #ARGV do
  local id = ARGV[i]
  if mine[id] then
    held[#held + 1] = id
  elseif #redis.call('XPENDING', stream, group, id, id, 1) > 0 then
    lost = lost + 1
  end
end
if lost > 0 or #held == 0 then return lost end
if what == 'ack' then
  each(held, function(ids) redis.call('XACK', stream, group, unpack(ids)) end)
elseif what == 'retry' then
  move(group, returned, held, math.max(group_settings(group).ack_wait_ms - delay, 0))
else
  move(group, consumer, held, 0)
end
return 0
