-- Opens a group for one node: a Redis process that did not write it starts a new epoch, the node's chain of publishes
-- starts anew, and what the node lacks is returned.
--
-- KEYS  1 meta  2 stream  3 young ids  4 old ids
-- ARGV  1 node  2 generation  3 life  4 epoch to start if need be  5 known epoch or ''  6 known offset
--       7 entries_max  8 latest_max  9 age_ms
-- Gives {epoch, offset, trimmed offset, {past epoch, 'base:high', …}, 'after' or 'latest', entries oldest first}

local meta, stream, young, old = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local node, generation, life, drawn = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local known_epoch, known_offset = ARGV[5], tonumber(ARGV[6])

local PAST_MAX, NODES_MAX = 12, 64

local m = {}
local flat = redis.call('HGETALL', meta)
for i = 1, #flat, 2 do m[flat[i]] = flat[i + 1] end

local function set(field, value)
  m[field] = value
  redis.call('HSET', meta, field, value)
end

-- Of all fields that begin with `prefix` keeps the `max` with the highest rank.
local function bound(prefix, max, rank, drop)
  local found = {}
  for field in pairs(m) do
    if field:sub(1, #prefix) == prefix then found[#found + 1] = field end
  end
  table.sort(found, function(a, b) return rank(a) > rank(b) end)
  for i = max + 1, #found do drop(found[i]) end
end

local function forget(field)
  m[field] = nil
  redis.call('HDEL', meta, field)
end

local trimmed = tonumber((m.t or ':0'):match(':(%d+)$'))
local whole = m.e and redis.call('XLEN', stream) == tonumber(m.o) - trimmed - tonumber(m.x or 0)
if not whole then
  -- Never written, expired, flushed, or evicted in part: nothing of it can be trusted.
  redis.call('UNLINK', meta, stream, young, old)
  m, trimmed = {}, 0
  for field, value in pairs({v = '1', e = drawn, o = '0', life = life, start = '0', b = '0'}) do
    set(field, value)
  end
elseif m.life ~= life then
  -- Restarted or promoted: what it acknowledged may be lost. Offsets go on, so that entry ids stay monotone.
  set('p:' .. m.e, m.o .. ':' .. m.o)
  set('e', drawn)
  set('life', life)
  set('start', m.o)
  bound('p:', PAST_MAX, function(field) return tonumber(m[field]:match('^(%d+)')) end, forget)
end

local mine = m['n:' .. node]
if not mine or tonumber(mine:match('^(%d+)')) < generation then
  set('n:' .. node, ARGV[2] .. ':0')
  set('u:' .. node, redis.call('TIME')[1])
  bound('n:', NODES_MAX, function(field) return tonumber(m['u:' .. field:sub(3)] or 0) end, function(field)
    forget(field)
    forget('u:' .. field:sub(3))
  end)
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[9]) end

local past = {}
for field, value in pairs(m) do
  if field:sub(1, 2) == 'p:' then
    past[#past + 1] = field:sub(3)
    past[#past + 1] = value
  end
end

-- Up to where the node's position is good in this history.
local base
if known_epoch == m.e then
  base = tonumber(m.o)
elseif m['p:' .. known_epoch] then
  base = tonumber(m['p:' .. known_epoch]:match('^(%d+)'))
end

local how, entries
if base and known_offset <= base and known_offset >= trimmed then
  how = 'after'
  entries = redis.call('XRANGE', stream, string.format('%.0f-0', known_offset + 1), '+', 'COUNT', ARGV[7])
else
  how = 'latest'
  local newest_first = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', ARGV[8])
  entries = {}
  for i = #newest_first, 1, -1 do entries[#entries + 1] = newest_first[i] end
end
return {m.e, m.o, string.format('%.0f', trimmed), past, how, entries}
