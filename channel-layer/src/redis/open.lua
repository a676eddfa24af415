-- Opens a group for one node: a life of Redis that did not write it starts a new epoch, the node's chain of publishes
-- starts anew, and what the node lacks is returned, as `page.lua` says.
--
-- ARGV  7 node  8 generation  9 life as the node believes, in short  10 epoch to start if need be
-- Gives {life in short, the part that was asked for}

local node, generation, believed, drawn = ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10]

local PAST_MAX, NODES_MAX = 12, 64
local UNWRITTEN_MS = 600000

local m = all()

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

-- What is written down is never a belief: the first replica, for one, changes the life of a running Redis, and two nodes
-- that believe in different lives would begin epochs in turn.
local function life()
  return redis.call('INFO', 'server'):match('run_id:(%x+)') .. redis.call('INFO', 'replication'):match('master_replid:(%x+)')
end

-- Both ids have 40 digits; 8 of each are enough to tell lives apart.
local function short(life) return life:sub(1, 8) .. life:sub(41, 48) end

if not whole(m) then
  -- Nothing of what is there can be trusted.
  redis.call('UNLINK', unpack(KEYS))
  m = {}
  for field, value in pairs({v = FORM, e = drawn, o = '0', life = life(), start = '0', b = '0'}) do
    set(field, value)
  end
elseif short(m.life) ~= believed and m.life ~= life() then
  -- Restarted or promoted: what it acknowledged may be lost. Offsets go on, so that entry ids stay monotone.
  set('p:' .. m.e, m.o .. ':' .. m.o)
  set('e', drawn)
  set('life', life())
  set('start', m.o)
  bound('p:', PAST_MAX, function(field) return tonumber(m[field]:match('^(%d+)')) end, forget)
end

local mine = m['n:' .. node]
if not mine or tonumber(mine:match('^(%d+)')) < generation then
  set('n:' .. node, ARGV[8] .. ':0')
  set('u:' .. node, redis.call('TIME')[1])
  bound('n:', NODES_MAX, function(field) return tonumber(m['u:' .. field:sub(3)] or 0) end, function(field)
    forget(field)
    forget('u:' .. field:sub(3))
  end)
end
-- As long as `keep.lua` gives them, for it renews that only now and then. What nobody has written to yet is made by
-- whoever looks, and is soon forgotten.
local lives_ms = tonumber(ARGV[6]) * 17 / 16
if m.o == '0' then lives_ms = math.min(lives_ms, UNWRITTEN_MS) end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, string.format('%.0f', lives_ms)) end

return {short(m.life), part(m)}
