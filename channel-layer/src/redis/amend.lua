-- Puts a message in the place of one that is kept: checks that its owner asks for it, takes the replaced one out of the
-- stream, and keeps the new one as any other; or says why not, and does nothing.
--
-- ARGV  11 envelope up to where version 1 stood  16 target  17 owner  18 'r' replaces, 'd' deletes  19 the envelope's rest
-- Gives {'not_found'} {'forbidden'} as well
--
-- Beside each id in the index stands, under 'a' and the id, where the newest version of an amended message is:
-- offset, version, where version 1 stood, and what the amendment was.

local no = refusal()
if no then return no end
local target, owner, what = ARGV[16], ARGV[17], ARGV[18]

local function indexed(field) return redis.call('HGET', young, field) or redis.call('HGET', old, field) end

local offset, version, first, was
local newest = indexed('a' .. target)
if newest then
  offset, version, first, was = newest:match('^(%d+):(%d+):(%x+:%d+):(%a)$')
else
  local known = indexed(target)
  if known then
    first, offset = known:match('^(%x+:(%d+)):')
    version = 1
  end
end

-- The index remembers more than the stream keeps, and amendments too: only what bears the target's id is the target.
local entry = offset and redis.call('XRANGE', stream, offset .. '-0', offset .. '-0')[1]
local replaced = entry and entry[2][10]
if not replaced or replaced:sub(3, 18) ~= target or was == 'd' or tonumber(entry[2][4]) < now - age_ms then
  return refuse('not_found')
end
-- An owner is the first field of an envelope's header: its tag, its length, 8 bytes.
local header_bytes = replaced:byte(19) * 256 + replaced:byte(20)
if header_bytes < 11 or replaced:sub(21, 23) ~= '\3\0\8' or replaced:sub(24, 31) ~= owner then
  return refuse('forbidden')
end

-- The first write is one that a full Redis refuses: it does so before anything is changed, or not at all.
redis.call('HINCRBY', meta, 'x', 1)

-- XDEL only marks an entry: its bytes stay in memory and in every dump until all of the stream's node is deleted that it
-- stands in. So all entries from the beginning of that node on are taken out, and put back without it. Where a node begins
-- only the number of nodes tells. One that is left with entries marked must not be appended to: offsets would not rise in
-- it, and trimming relies on that.
local function nodes()
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'radix-tree-keys' then return info[i + 1] end
  end
end

local after = redis.call('XRANGE', stream, entry[1], '+')
for i = 1, #after, 100 do
  local ids = {}
  for j = i, math.min(i + 99, #after) do ids[#ids + 1] = after[j][1] end
  redis.call('XDEL', stream, unpack(ids))
end
local before, count = {}, nodes()
local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
while last and nodes() == count do
  redis.call('XDEL', stream, last[1])
  before[#before + 1] = last
  last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
end
redis.call('XSETID', stream, last and last[1] or '0-0')
for i = #before, 1, -1 do redis.call('XADD', stream, before[i][1], unpack(before[i][2])) end
for i = 2, #after do redis.call('XADD', stream, after[i][1], unpack(after[i][2])) end
bytes = bytes - #replaced - OVERHEAD

version = tonumber(version) + 1
local first_epoch, first_offset = first:match('^(%x+):(%d+)$')
local done = keep(ARGV[11] .. first_epoch .. string.format('%016x%08x', tonumber(first_offset), version) .. ARGV[19])
redis.call('HSET', young, 'a' .. target, table.concat({done[2], text(version), first, what}, ':'))
return done
