-- Claims what is due: what nobody has settled or kept for AckWait. ARGV: group,
-- consumer, how many messages and bytes at most. Returns AckWait, MaxInFlight,
-- how many entries are pending, how many of them were found to be deleted, and
-- the entries, each with its fields and how often it was delivered.
local group, consumer, max, bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local set = group_settings(group)
local taken, deleted = {}, 0
if max > 0 then
  for _, p in ipairs(redis.call('XPENDING', stream, group, 'IDLE', set.ack_wait_ms, '-', '+', max)) do
    local entry = redis.call('XCLAIM', stream, group, consumer, 0, p[1])[1]
    if entry then
      taken[#taken + 1] = { entry[1], entry[2], p[4] + 1 }
      for _, field in ipairs(entry[2]) do bytes = bytes - #field end
      if bytes <= 0 then break end
    else
      redis.call('XACK', stream, group, p[1])
      deleted = deleted + 1
    end
  end
end
return { set.ack_wait_ms, set.max_in_flight, redis.call('XPENDING', stream, group)[1], deleted, taken }
