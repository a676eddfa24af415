-- Puts a message back that this Redis has lost: between `lost.lua` and `keep.lua`. By its positions, for ids are forgotten.
--
-- ARGV  5 its labels: its last position, then earlier ones  6 envelope  7 id that it was sent under
--       of an amendment  8 target  9 position of version 1  10 the version's number (8 digits)  11 'r' or 'd'

local envelope, id = ARGV[6], ARGV[7]

local is_known = false
for i = 1, #ARGV[5], 32 do
  local epoch, offset = ARGV[5]:sub(i, i + 15), tonumber(ARGV[5]:sub(i + 16, i + 31), 16)
  local is_here = epoch == present or (highs[epoch] and offset <= highs[epoch].high)
  -- It was put back already, by whoever had it.
  if is_here and i == 1 then return 0 end
  is_known = is_known or is_here
  if epoch ~= present then raise(epoch, offset) end
end
ARGV[3] = past_epochs()
is_known = is_known or call('HEXISTS', history, id) == 1

local target, changes = ARGV[8], nil
if target and not is_known then
  -- Beside each id stands, under 'a' and the id, where the newest version of an amended message is, as `amend.lua` has it.
  local newest, first = unpack(call('HMGET', history, 'a' .. target, target))
  local replaced_at
  if newest then
    is_known = newest:sub(33, 40) >= ARGV[10]
    replaced_at = newest:sub(41, 41) == 'r' and tonumber(newest:sub(42), 16)
  elseif first then
    replaced_at = tonumber(first:sub(17, 32), 16)
  end
  changes = {'a' .. target, ARGV[9] .. ARGV[10] .. ARGV[11] .. string.format('%016x', last + 1)}
  if not first then
    changes[#changes + 1] = target
    changes[#changes + 1] = ARGV[9] .. '-'
  end
  local entry = replaced_at and call('HGET', history, replaced_at)
  if entry and #entry > 32 and entry:sub(45, 60) == target then
    local sent_as = newest and entry:sub(77, 92) or target
    local known = call('HGET', history, sent_as)
    for _, change in ipairs({replaced_at, sent_as, 'x', (call('HGET', history, 'x') or 0) + 1}) do
      changes[#changes + 1] = change
    end
    if known then
      changes[#changes + 1] = sent_as
      changes[#changes + 1] = known:sub(1, 32) .. (newest and '-' .. target .. 'r' or '-')
    end
    bytes = bytes - (#entry - 42)
  end
end
if is_known then
  call('HSET', history, 'p', ARGV[3])
  return 0
end
if changes then call('HSET', history, unpack(changes)) end
