-- Whether a message may be kept: what publishing and amending begin with. `keep.lua` ends both. Every command costs some two
-- microseconds, so all that is compared comes with one, and what most messages need not know is not asked.
--
-- KEYS  1 history
-- ARGV  1 the field of the node's chain  2 the chain as it must stand, behind epoch and life  3 as it will stand
--       4 digest  5 floor  6 envelope; of an amendment more follow
-- Gives offset {'dup', position} {'conflict'} {'undecided'} {'stale'} {'fenced'}

local call, history, envelope = redis.call, KEYS[1], ARGV[6]
local id = ARGV[7] or envelope:sub(3, 18)

local m = call('HMGET', history, ARGV[1], 'h', id)
if m[1] ~= ARGV[2] then
  local present = call('HMGET', history, 'e', 'life')
  local is_present = present[1] and present[1] .. (present[2] or '') == ARGV[2]:sub(1, 32)
  return {is_present and 'fenced' or 'stale'}
end

if m[3] then
  call('HSET', history, ARGV[1], ARGV[3])
  -- What stands there instead of the digest of a message that was replaced: what that amended, if anything, and as what. An
  -- amendment says so in its own arguments.
  local bare = '-' .. (ARGV[8] or '') .. (ARGV[10] or '')
  local digest = m[3]:sub(33)
  if digest ~= ARGV[4] and digest ~= bare then return {'conflict'} end
  return {'dup', m[3]:sub(1, 32)}
end

local last, bytes, renew_at, forgotten = struct.unpack(HEAD, m[2])
if forgotten > 0 then
  -- The sender's position, taken to this history: what an epoch lost does not count as seen.
  local epoch, floor = ARGV[5]:sub(1, 16), tonumber(ARGV[5]:sub(17), 16)
  if epoch ~= ARGV[2]:sub(1, 16) then
    local base = (' ' .. (call('HGET', history, 'p') or '')):match(' ' .. epoch .. ':(%d+)')
    floor = math.min(floor, tonumber(base or 0))
  end
  if floor < forgotten then
    call('HSET', history, ARGV[1], ARGV[3])
    return {'undecided'}
  end
end

