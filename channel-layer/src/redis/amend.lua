-- Puts a message in the place of one that is kept: checks that its owner asks for it, takes out what is replaced, and keeps
-- the new one as any other; or says why not, and does nothing. It costs the same wherever the replaced one stands.
--
-- ARGV  11 envelope up to where version 1 stood  16 target  17 owner  18 'r' replaces, 'd' deletes  19 the envelope's rest
-- Gives {'not_found'} {'forbidden'} as well
--
-- Beside each id in the index stands, under 'a' and the id, where the newest version of an amended message is:
-- offset, version, where version 1 stood, and what the amendment was.

local no = refusal()
if no then return no end
local target, owner, what = ARGV[16], ARGV[17], ARGV[18]

-- What the index says, and in which generation.
local function indexed(field)
  for _, ids in ipairs({young, old}) do
    local value = redis.call('HGET', ids, field)
    if value then return value, ids end
  end
end

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
local entry = offset and was ~= 'd' and redis.call('XRANGE', stream, offset .. '-0', offset .. '-0')[1]
local is_kept = entry and entry[2][6] == target and tonumber(entry[2][4]) >= now - age_ms
local replaced = is_kept and redis.call('HGET', bodies, offset)
if not replaced then return refuse('not_found') end
-- An owner is the first field of an envelope's header: its tag, its length, 8 bytes.
local header_bytes = replaced:byte(19) * 256 + replaced:byte(20)
if header_bytes < 11 or replaced:sub(21, 23) ~= '\3\0\8' or replaced:sub(24, 31) ~= owner then
  return refuse('forbidden')
end

-- The first write is one that a full Redis refuses: it does so before anything is changed, or not at all.
m[9] = redis.call('HINCRBY', meta, 'x', 1)
-- The stream only marks its entry as deleted, and that says nothing of what was said; so its bytes still count.
redis.call('XDEL', stream, offset .. '-0')
redis.call('HDEL', bodies, offset)
bytes = bytes - #replaced
-- A dictionary finds a short text by its digest, which goes with it. What was no first version was an edit, and sent under
-- an id of its own: the second field of its header.
version = tonumber(version)
local is_first = version == 1
local sent_as = is_first and target or replaced:sub(35, 50)
local known, ids = indexed(sent_as)
if known then
  local left = is_first and bare() or bare(target, 'r')
  redis.call('HSET', ids, sent_as, known:match('^%x+:%d+:') .. left)
end

version = version + 1
local first_epoch, first_offset = first:match('^(%x+):(%d+)$')
local done = keep(ARGV[11] .. first_epoch .. string.format('%016x%08x', tonumber(first_offset), version) .. ARGV[19])
redis.call('HSET', young, 'a' .. target, table.concat({done[2], text(version), first, what}, ':'))
return done
