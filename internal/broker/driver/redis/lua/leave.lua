-- Gives back all that a consumer holds, at once, and forgets the consumer.
-- ARGV: group, consumer, ids that were read and never seen by anybody. With no
-- more than some ids to keep (ARGV[3] is 'keep'), only what is not among them is
-- given back, and the consumer stays.
local group, consumer, keep = ARGV[1], ARGV[2], ARGV[3] == 'keep'
local idle = group_settings(group).ack_wait_ms
local named_ids, unseen, rest = {}, {}, {}
for i = 4, #ARGV do named_ids[ARGV[i]] = true end
for _, p in ipairs(redis.call('XPENDING', stream, group, '-', '+', 1000000, consumer)) do
  local id, count = p[1], p[4]
  if keep then
    if not named_ids[id] then
      local list = count == 1 and unseen or rest
      list[#list + 1] = id
    end
  elseif named_ids[id] and count == 1 then
    unseen[#unseen + 1] = id
  else
    rest[#rest + 1] = id
  end
end
move(group, returned, unseen, idle, 0)
move(group, returned, rest, idle)
if not keep and #redis.call('XPENDING', stream, group, '-', '+', 1, consumer) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
end
return #unseen + #rest
