-- Looks after a topic: removes what is too old or too much, and shuts the stream
-- when it is full of what groups have not acknowledged. ARGV: how often it is to
-- be measured, and how often all the rest is to be done, in ms; whether all goes
-- that every group has acknowledged.
--
-- Returns whether the stream is shut; its bytes, and the most it may have; what
-- is missing, 'topic' or 'group NAME'; by group how many entries it lost; who
-- holds the most back, and the id of that entry; and, when the server has a new
-- life, that and the groups to count before anything is removed. Writes that need
-- memory come last and may fail, so that a server without any can be relieved.
local set = named(redis.call('HGETALL', settings))
local max = tonumber(set.max_bytes)
if not max or redis.call('EXISTS', stream) == 0 then return { 0, 0, 0, 'topic', {}, '', '' } end

local groups, missing = {}, ''
for i, g in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  groups[i] = named(g)
  groups[groups[i].name] = groups[i]
end
for field in pairs(set) do
  local name = string.match(field, '^group:(.+)$')
  if name and not groups[name] then missing = 'group ' .. name end
end

local time = now()
local function due(field, every)
  local since = time - tonumber(set[field] or '0')
  return since < 0 or since >= tonumber(every) -- clocks are set back, too
end
if not due('looked', ARGV[1]) then
  return { set.shut and 1 or 0, tonumber(set.bytes or '0'), max, missing, {}, '', '' }
end

-- The server samples the oldest nodes of the stream, of four kilobytes or one
-- entry each, and takes the others to be like them; for fewer nodes than samples it
-- is exact. A glance takes few. Once in a while many are taken, about three milliseconds'
-- worth at the most, so that large entries behind small ones do not hide for long.
local glance, many = 1000, 50000
local function bytes(samples) return redis.call('MEMORY', 'USAGE', stream, 'SAMPLES', samples) or 0 end
local have = bytes(glance)
if whole(have) ~= set.bytes then -- an idle topic costs no write to the log
  redis.pcall('HSET', settings, 'looked', whole(time), 'bytes', have)
end
local forget = ARGV[3] == '1' and due('forgot', ARGV[2])
if have <= max and not set.shut and not forget and not due('swept', ARGV[2]) then
  return { 0, have, max, missing, {}, '', '' }
end

local alive = life()
if set.life ~= alive then
  local uncounted = {}
  for i, g in ipairs(groups) do uncounted[i] = { g.name, g['last-delivered-id'], g['entries-read'] } end
  return { set.shut and 1 or 0, have, max, missing, {}, '', '', alive, uncounted }
end

-- The smallest id that a group may still need, and which group; nothing when
-- there is none. A group that is in the settings only was destroyed by somebody:
-- made anew, it begins with all that is there.
local function floor()
  local low, holder
  for field, text in pairs(set) do
    local name = string.match(field, '^group:(.+)$')
    if name and not groups[name] and not cjson.decode(text).may_lose then return '0-0', name end
  end
  for _, g in ipairs(groups) do
    if not group_settings(g.name).may_lose then
      local id = after(g['last-delivered-id'])
      if g.pending > 0 then id = redis.call('XPENDING', stream, g.name)[2] end
      if not low or less(id, low) then low, holder = id, g.name end
    end
  end
  return low, holder
end

-- removes at most n entries before low
local function trim(low, n)
  return redis.call('XTRIM', stream, 'MINID', '~', low or LAST, 'LIMIT', n)
end

-- removes the oldest entries before low until the stream is smaller than size
local function shrink(size, low)
  for _ = 1, 16 do
    local len = redis.call('XLEN', stream)
    if have <= size or len == 0 then return end
    -- Whole nodes go, or none: where the first alone has more entries than are
    -- too many, it goes too. A node has up to a hundred.
    local n = math.ceil((have - size) / (have / len))
    if trim(low, n) == 0 and trim(low, n + 100) == 0 then return end
    have = bytes(many)
  end
end

redis.call('XTRIM', stream, 'MINID', whole(time - tonumber(set.max_age_ms or '0')))
local low, holder = floor()
have = bytes(many)
if have > max or set.shut then shrink(max * 0.95, low) end
if forget then
  if low then redis.call('XTRIM', stream, 'MINID', low) end
  redis.pcall('HSET', settings, 'forgot', whole(time))
end

local info = named(redis.call('XINFO', 'STREAM', stream))
local full = have > max or (set.shut ~= nil and have > max * 0.95)

-- Groups whose next entry is gone go on behind it. Entries are numbered from
-- one as they are added; those up to gone are not there any more. Single entries
-- deleted by somebody else spoil the count.
local gone, lost = info['entries-added'] - info.length, {}
local first = info['recorded-first-entry-id']
local counted = info.length == 0 or less(info['max-deleted-entry-id'], first)
for _, g in ipairs(groups) do
  local read = g['entries-read']
  if counted and read and read < gone then
    local last = last_id(info)
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

gate(info, full)
redis.pcall('HSET', settings, 'swept', whole(time), 'bytes', have)
return { full and 1 or 0, have, max, missing, lost, holder or '', low or '' }
