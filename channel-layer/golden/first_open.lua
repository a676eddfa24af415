local MESSAGES_MAX, BYTES_MAX, AGE_S, IDS_MAX, DATABASE, HEAD = 1000, 1048576, 86400, 12000, '', '>I8I8I8I8'
-- What opening and reading have in common: whether a history is there, and a part of it. Stands before either script.
--
-- KEYS  1 history
-- ARGV  1 'after', 'before' or 'latest'  2 position that this is said of
--       3 how many messages then  4 how many of the latest if that cannot be had without a hole
-- A part is {epoch, offset, 'past epoch:base:high …', which, {entry, …}}, where `which` is what was asked for or else
-- 'latest'; oldest first if it is 'after', newest first otherwise. An entry is when it was kept (s), its position and its
-- envelope. Nothing in it is too old.

local history = KEYS[1]

-- The version of the form in which all this is kept.
local FORM = '4'
-- More values than some thousands cannot be handed to one command.
local STEP_MIN, STEP_MAX = 64, 500

-- What is known of the history.
local function all()
  local m, fields = {}, {'v', 'e', 'h', 'life', 't', 'p', 'nodes'}
  for i, value in ipairs(redis.call('HMGET', history, unpack(fields))) do m[fields[i]] = value end
  if m.h and #m.h == 32 then m.last = struct.unpack(HEAD, m.h) end
  return m
end

-- One that never was is not there, nor is one that expired, or is kept in another form.
local function whole(m) return m.v == FORM and m.e and m.last and m.life end

local function part(m)
  local trimmed, head = tonumber((m.t or ''):sub(17), 16) or 0, m.last

  -- Up to where the position's epoch is good in this history.
  local epoch, position, base = ARGV[2]:sub(1, 16), tonumber(ARGV[2]:sub(17), 16), nil
  if epoch == m.e then
    base = head
  else
    base = tonumber((' ' .. (m.p or '')):match(' ' .. epoch .. ':(%d+)'))
  end
  local good = base and position <= base

  -- The entries from one offset to another, in either order, up to one that is too old; and whether there was such a one, for
  -- a group is trimmed by age only now and then. What amendments took out is passed over.
  local oldest = redis.call('TIME')[1] - AGE_S
  local function entries(first, last, by, max)
    local found = {}
    while #found < max and (last - first) * by >= 0 do
      local offsets = {}
      for at = first, last, by do
        offsets[#offsets + 1] = at
        if #offsets == math.min(math.max(max - #found, STEP_MIN), STEP_MAX) then break end
      end
      for _, entry in ipairs(redis.call('HMGET', history, unpack(offsets))) do
        if entry and #entry > 32 and #found < max then
          if tonumber(entry:sub(1, 10)) < oldest then return found, true end
          found[#found + 1] = entry
        end
      end
      first = first + by * #offsets
    end
    return found, false
  end

  local which, found, is_old = ARGV[1], nil, nil
  if which == 'after' and good and position >= trimmed then
    found, is_old = entries(position + 1, head, 1, tonumber(ARGV[3]))
    if is_old then found = nil end
  elseif which == 'before' and good then
    found = entries(math.min(position - 1, head), trimmed + 1, -1, tonumber(ARGV[3]))
  elseif which == 'latest' then
    found = entries(head, trimmed + 1, -1, tonumber(ARGV[3]))
  end
  if not found then
    which, found = 'latest', entries(head, trimmed + 1, -1, tonumber(ARGV[4]))
  end
  return {m.e, string.format('%d', m.last), m.p or '', which, found}
end

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
