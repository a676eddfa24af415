-- Says that positions of a past epoch are lost, if nobody has put them back: between `lost.lua` and `keep.lua`.
--
-- ARGV  5 epoch  6 up to which offset, of those that whoever puts more of them back has not got either

local past, at = ARGV[5], tonumber(ARGV[6])
local high = highs[past] and highs[past].high or 0
if past == present or at <= high then return 0 end

-- As `gap.rs` reads it. Whoever says the same says it under the same id, in 16 digits.
local words = string.format('hole %.0f %s:%.0f:%.0f', at - high, past, high + 1, at)
local kind = 'layer.gap'
local id = redis.sha1hex(history .. words):sub(1, 16)
local envelope = '\1\1' .. id .. struct.pack('>HBH', #kind + 3, 2, #kind) .. kind .. words
raise(past, at)
ARGV[3] = past_epochs()
-- It was lost before, and what said so was put back.
if call('HEXISTS', history, id) == 1 then
  call('HSET', history, 'p', ARGV[3])
  return 0
end
