-- Puts a message in the place of one that is kept: checks that its owner asks for it and takes out what is replaced, between
-- `check.lua` and `keep.lua`; or says why not. It costs the same wherever the replaced one stands.
--
-- ARGV  6 envelope up to where version 1 stood  7 id  8 target  9 owner  10 'r' replaces, 'd' deletes  11 the envelope's rest
-- Gives {'not_found'} {'forbidden'} as well
--
-- Beside each id stands, under 'a' and the id, where the newest version of an amended message is: the position of version 1,
-- the version's number (8 digits), what the amendment was, and its offset (16 digits).

local target, what = ARGV[8], ARGV[10]
local of_target = call('HMGET', history, 'a' .. target, target, 'x')
local first, version, replaced_at = nil, 1, nil
if of_target[1] then
  first, version = of_target[1]:sub(1, 32), tonumber(of_target[1]:sub(33, 40), 16)
  replaced_at = of_target[1]:sub(41, 41) == 'r' and tonumber(of_target[1]:sub(42), 16)
elseif of_target[2] then
  first = of_target[2]:sub(1, 32)
  replaced_at = tonumber(first:sub(17), 16)
end

-- Ids are remembered for longer than messages are kept, and those of amendments too: only what bears the target's id is the
-- target.
local entry = replaced_at and call('HGET', history, replaced_at)
local is_kept = entry and #entry > 32 and entry:sub(45, 60) == target
  and tonumber(entry:sub(1, 10)) >= call('TIME')[1] - AGE_S
local refused
if not is_kept then
  refused = 'not_found'
else
  -- An owner is the first field of an envelope's header: its tag, its length, 8 bytes.
  local header_bytes = entry:byte(61) * 256 + entry:byte(62)
  local is_owner = header_bytes >= 11 and entry:sub(63, 65) == '\3\0\8' and entry:sub(66, 73) == ARGV[9]
  if not is_owner then refused = 'forbidden' end
end
if refused then
  call('HSET', history, ARGV[1], ARGV[3])
  return {refused}
end

-- What was no first version was an edit, and sent under an id of its own: the second field of its header. That id stays, but
-- nothing of what was said, and no digest: a dictionary finds a short text by it.
local sent_as, left, known = target, '-', of_target[2]
if version > 1 then
  sent_as = entry:sub(77, 92)
  left, known = '-' .. target .. 'r', call('HGET', history, sent_as)
end
local number = string.format('%08x', version + 1)
local changes = {
  'a' .. target, first .. number .. what .. string.format('%016x', last + 1), 'x', tonumber(of_target[3] or 0) + 1,
}
if known then
  changes[#changes + 1] = sent_as
  changes[#changes + 1] = known:sub(1, 32) .. left
end
-- The first write is one that a full Redis refuses: it does so before anything is changed, or not at all.
call('HSET', history, replaced_at, sent_as, unpack(changes))
bytes = bytes - (#entry - 42)
envelope = envelope .. first .. number .. ARGV[11]

