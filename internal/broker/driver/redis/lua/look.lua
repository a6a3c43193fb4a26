-- Applies the retention of a topic. ARGV: whether it may drop what groups have
-- not read (a DLQ), and how often this needs doing, in ms. Returns whether the
-- topic is full of what groups have not acknowledged, by group how many entries
-- it lost, and, when the server has a new life, that and the groups to count
-- before anything is removed. Writes that need memory come last and may fail, so
-- that a server without any can still be relieved.
local dlq, every = ARGV[1] == '1', tonumber(ARGV[2])
local set = redis.call('HMGET', settings, 'max_age_ms', 'max_bytes', 'looked', 'full', 'life')
if not set[1] or redis.call('EXISTS', stream) == 0 then return { 0, {} } end
local function groups()
  local list = redis.call('XINFO', 'GROUPS', stream)
  for i, g in ipairs(list) do list[i] = named(g) end
  return list
end

local alive = life()
if set[5] ~= alive then
  local uncounted = {}
  for _, g in ipairs(groups()) do uncounted[#uncounted + 1] = { g.name, g['last-delivered-id'], g['entries-read'] } end
  return { tonumber(set[4] or '0'), {}, alive, uncounted }
end

local time = now()
local since = time - tonumber(set[3] or '0')
if since >= 0 and since < every then return { tonumber(set[4] or '0'), {} } end

-- the smallest id that a group may still need, nil when there is none
local function floor()
  local low
  for _, g in ipairs(groups()) do
    if not dlq and not group_settings(g.name).may_lose then
      local id = after(g['last-delivered-id'])
      if g.pending > 0 then id = redis.call('XPENDING', stream, g.name)[2] end
      if not low or less(id, low) then low = id end
    end
  end
  return low
end

-- The server samples the oldest nodes of the stream, of four kilobytes or one
-- entry; the estimate is exact for fewer nodes than that.
local function bytes() return redis.call('MEMORY', 'USAGE', stream, 'SAMPLES', 1000) or 0 end

-- removes at most n entries before low
local function trim(low, n)
  return redis.call('XTRIM', stream, 'MINID', '~', low or '18446744073709551615', 'LIMIT', n)
end

-- removes the oldest entries until the stream is smaller than size
local function shrink(size)
  local low = floor()
  for _ = 1, 16 do
    local have, len = bytes(), redis.call('XLEN', stream)
    if have <= size or len == 0 then return have end
    -- Whole nodes go, or none: where the first alone has more entries than are
    -- too many, it goes too. A node has up to a hundred.
    local n = math.ceil((have - size) / (have / len))
    if trim(low, n) == 0 and trim(low, n + 100) == 0 then return have end
  end
  return bytes()
end

redis.call('XTRIM', stream, 'MINID', whole(time - tonumber(set[1])))
local max, full = tonumber(set[2]), 0
local have = bytes()
if have > max then have = shrink(max * 0.95) end
if have > max or (set[4] == '1' and have > max * 0.95) then full = 1 end

-- Groups whose next entry is gone go on behind it. Entries are numbered from
-- one as they are added; those up to gone are not there any more. Single entries
-- deleted by somebody else spoil the count.
local info = named(redis.call('XINFO', 'STREAM', stream))
local gone, lost = info['entries-added'] - info.length, {}
local first = info['recorded-first-entry-id']
local counted = info.length == 0 or less(info['max-deleted-entry-id'], first)
for _, g in ipairs(groups()) do
  local read = g['entries-read']
  if counted and read and read < gone then
    local last = info['last-generated-id']
    if info.length > 0 then
      local ms, seq = split(first)
      if seq > 0 then last = whole(ms) .. '-' .. whole(seq - 1) else last = whole(ms - 1) .. '-18446744073709551615' end
    end
    redis.call('XGROUP', 'SETID', stream, g.name, last, 'ENTRIESREAD', gone)
    if not group_settings(g.name).may_lose then
      lost[#lost + 1] = g.name
      lost[#lost + 1] = gone - read
    end
  end
  for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', stream, g.name)) do
    c = named(c)
    if c.pending == 0 and c.idle > 600000 then redis.call('XGROUP', 'DELCONSUMER', stream, g.name, c.name) end
  end
end
redis.pcall('HSET', settings, 'looked', whole(time), 'full', full)
return { full, lost }
