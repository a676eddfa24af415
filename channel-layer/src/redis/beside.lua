-- What every script over values beside a group's history begins with.
--
-- KEYS  1 meta  2 stream  3 young ids  4 old ids  5 bodies  6… those of the values
-- ARGV  1 how long a history lives, in ms  2… the caller's own

-- The offset of a message that is kept; nil: it is not, or was deleted.
local function standing(id)
  local function indexed(field)
    return redis.call('HGET', KEYS[3], field) or redis.call('HGET', KEYS[4], field)
  end
  local newest, known, offset, what = indexed('a' .. id), nil, nil, nil
  if newest then
    offset, what = newest:match('^(%d+):.*:(%a)$')
  else
    known = indexed(id)
    offset = known and known:match('^%x+:(%d+):')
  end
  local entry = offset and what ~= 'd' and redis.call('XRANGE', KEYS[2], offset .. '-0', offset .. '-0')[1]
  -- The index remembers more than the stream keeps, and the ids of amendments: only what bears the id is the message.
  if entry and entry[2][6] == id then return tonumber(offset) end
end

local function renew(key) redis.call('PEXPIRE', key, ARGV[1]) end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function text(number) return string.format('%.0f', number) end

