-- What a Redis that lost something is told by those who still have it begins with: which epochs it knows, and how much of each.
--
-- KEYS  1 history
-- ARGV  1 'p'  2 epoch and life as they must stand  3 (filled in: the past epochs as they will stand)  4 digest  5… the caller's own
-- Gives offset, 0 if there is nothing to do, {'stale'}

local call, history = redis.call, KEYS[1]
local PAST_MAX = 12

local m = call('HMGET', history, 'e', 'life', 'p', 'h')
if not m[4] or m[1] .. m[2] ~= ARGV[2] then return {'stale'} end
local present = m[1]
local last, bytes, renew_at, forgotten = struct.unpack(HEAD, m[4])

-- The past epochs, the latest first.
local order, highs = {}, {}
for epoch, base, high in (m[3] or ''):gmatch('(%x+):(%d+):(%d+)') do
  order[#order + 1] = epoch
  highs[epoch] = {base = base, high = tonumber(high)}
end

-- An epoch counts as put back up to here. One that is not known comes first, so that it is not forgotten at once.
local function raise(epoch, offset)
  local known = highs[epoch]
  if not known then
    known = {base = '0', high = 0}
    table.insert(order, 1, epoch)
    highs[epoch] = known
  end
  known.high = math.max(known.high, offset)
end

local function past_epochs()
  local words = {}
  for i = 1, math.min(#order, PAST_MAX) do
    local known = highs[order[i]]
    words[#words + 1] = string.format('%s:%s:%.0f', order[i], known.base, known.high)
  end
  return table.concat(words, ' ')
end
