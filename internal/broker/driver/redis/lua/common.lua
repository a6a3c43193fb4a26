-- What the other scripts share. KEYS[1] is the stream of a topic, KEYS[2] the
-- hash with its settings.
local stream, settings = KEYS[1], KEYS[2]

-- table of a flat reply of names and values
local function named(reply)
  local t = {}
  for i = 1, #reply, 2 do t[reply[i]] = reply[i + 1] end
  return t
end

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function whole(n) return string.format('%.0f', n) end

local function split(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function less(a, b)
  local am, as = split(a)
  local bm, bs = split(b)
  return am < bm or (am == bm and as < bs)
end

-- the largest id that there can be
local LAST = '18446744073709551615-18446744073709551615'

-- the id that follows
local function after(id)
  if id == LAST then return id end
  local ms, seq = split(id)
  return whole(ms) .. '-' .. whole(seq + 1)
end

-- the settings of a group, those of the default for one that we did not make
local function group_settings(name)
  local text = redis.call('HGET', settings, 'group:' .. name)
  return text and cjson.decode(text) or { ack_wait_ms = 60000, max_in_flight = 16384, may_lose = false }
end

-- A stream is shut by setting its last id to the largest there is: no entry can
-- follow, so the server refuses every XADD, whoever sends it, and nothing else
-- changes. The id that it had is kept in the settings, as "shut".
local function last_id(info)
  local id = info['last-generated-id']
  if id ~= LAST then return id end
  if info.length == 0 then return redis.call('HGET', settings, 'shut') or '0-0' end
  return redis.call('HGET', settings, 'shut') or info['last-entry'][1]
end

-- shuts a stream that is full, and opens one that is not
local function gate(info, full)
  local shut = info['last-generated-id'] == LAST
  if full and not shut then
    local kept = redis.pcall('HSET', settings, 'shut', info['last-generated-id'])
    if type(kept) == 'number' then redis.pcall('XSETID', stream, LAST) end
  elseif shut and not full then
    redis.pcall('XSETID', stream, last_id(info))
  end
  if not full then redis.call('HDEL', settings, 'shut') end
end

-- does cmd with all ids, as many at a time as Lua's stack can hold
local function each(ids, cmd)
  for i = 1, #ids, 1000 do cmd({ unpack(ids, i, math.min(i + 999, #ids)) }) end
end

-- moves pending entries to a consumer without counting that as a delivery; idle
-- is for how long they then count as held
local function move(group, consumer, ids, idle, count)
  each(ids, function(some)
    local args = { 'XCLAIM', stream, group, consumer, 0 }
    for _, id in ipairs(some) do args[#args + 1] = id end
    args[#args + 1] = 'IDLE'
    args[#args + 1] = whole(idle)
    if count then
      args[#args + 1] = 'RETRYCOUNT'
      args[#args + 1] = count
    end
    args[#args + 1] = 'JUSTID'
    redis.call(unpack(args))
  end)
end

-- The life of the server. After a restart or a failover, Redis 7.0 has forgotten
-- how many entries its groups have read: the number is that of some time before.
-- The settings hold the life for which the numbers were put right.
local function life() return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') end

local returned = 'returned' -- the consumer that holds what was given back
