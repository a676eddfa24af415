-- What every script over values beside a group's history begins with.
--
-- KEYS  1 history  2… those of the values
-- ARGV  1 how long a history lives, in ms  2… the caller's own

-- The offset of a message that is kept; nil: it is not, or was deleted.
local function standing(id)
  local newest, known = unpack(redis.call('HMGET', KEYS[1], 'a' .. id, id))
  local offset
  if newest then
    offset = newest:sub(41, 41) == 'r' and tonumber(newest:sub(42), 16)
  elseif known then
    offset = tonumber(known:sub(17, 32), 16)
  end
  local entry = offset and redis.call('HGET', KEYS[1], offset)
  -- Ids are remembered for longer than messages are kept, and those of amendments too: only what bears the id is the message.
  if entry and entry:sub(45, 60) == id then return offset end
end

local function renew(key) redis.call('PEXPIRE', key, ARGV[1]) end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function text(number) return string.format('%.0f', number) end

