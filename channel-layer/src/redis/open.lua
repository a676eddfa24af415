-- Opens a group for one node: a life of Redis that did not write it starts a new epoch, the node's chain of publishes
-- starts anew, and what the node lacks is returned, as `page.lua` says.
--
-- ARGV  5 node  6 generation  7 life as the node believes  8 epoch to start if need be
-- Gives {life, the part that was asked for}

local node, generation, believed, drawn = ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]

local PAST_MAX, NODES_MAX = 12, 64
local UNWRITTEN_S = 600

local m = all()

local function set(changes)
  local flat = {}
  for field, value in pairs(changes) do
    m[field] = value
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('HSET', history, unpack(flat))
end

-- What is written down is never a belief: the first replica, for one, changes the life of a running Redis, and two nodes
-- that believe in different lives would begin epochs in turn. Both ids have 40 digits; 8 of each tell lives apart.
local function life()
  local run = redis.call('INFO', 'server'):match('run_id:(%x+)')
  return run:sub(1, 8) .. redis.call('INFO', 'replication'):match('master_replid:(%x+)'):sub(1, 8)
end

if not whole(m) then
  -- Nothing of what is there can be trusted.
  redis.call('UNLINK', history)
  m = {last = 0}
  set({v = FORM, e = drawn, h = struct.pack(HEAD, 0, 0, 0, 0), life = life(), start = '0'})
elseif m.life ~= believed and m.life ~= life() then
  -- Restarted or promoted: what it acknowledged may be lost. Offsets go on. No chain is good in another epoch.
  local last = string.format('%d', m.last)
  local past = {m.e .. ':' .. last .. ':' .. last}
  for before in (m.p or ''):gmatch('%S+') do
    if #past < PAST_MAX then past[#past + 1] = before end
  end
  set({p = table.concat(past, ' '), e = drawn, life = life(), start = last})
end

local chain = 'n:' .. node
local mine = redis.call('HGET', history, chain)
local is_present = mine and mine:sub(1, 32) == m.e .. m.life
if not is_present or tonumber(mine:match('^(%d+)', 33)) < generation then
  set({[chain] = m.e .. m.life .. ARGV[6] .. ':0'})
  -- The nodes that have a chain, those that opened the group last at the end.
  local nodes = {}
  for other in (m.nodes or ''):gmatch('%S+') do
    if other ~= node then nodes[#nodes + 1] = other end
  end
  nodes[#nodes + 1] = node
  while #nodes > NODES_MAX do redis.call('HDEL', history, 'n:' .. table.remove(nodes, 1)) end
  set({nodes = table.concat(nodes, ' ')})
end
-- As long as `keep.lua` gives it, for that renews it only now and then. What nobody has written to yet is made by
-- whoever looks, and is soon forgotten.
local lives_s = AGE_S * 17 / 16
if m.last == 0 then lives_s = math.min(lives_s, UNWRITTEN_S) end
redis.call('PEXPIRE', history, math.floor(lives_s * 1000))

return {m.life, part(m)}
