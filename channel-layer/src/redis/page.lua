-- What opening and reading have in common: whether a history is whole, and a part of it. Stands before either script.
--
-- KEYS  1 meta  2 stream  3 young ids  4 old ids  5 bodies
-- ARGV  1 'after', 'before' or 'latest'  2 epoch and  3 offset of the position that this is said of
--       4 how many messages then  5 how many of the latest if that cannot be had without a hole  6 age_ms
-- A part is {epoch, offset, {past epoch, 'base:high', …}, which, {{offset, epoch, kind, envelope}, …}}, where `which` is what
-- was asked for or else 'latest'; oldest first if it is 'after', newest first otherwise. Nothing in it is too old.

local meta, stream, bodies = KEYS[1], KEYS[2], KEYS[5]

-- The version of the form in which all this is kept.
local FORM = '2'
-- More values than some thousands cannot be handed to one command.
local BODIES_STEP = 500

local function id_of(offset) return string.format('%.0f-0', offset) end

-- All that `meta` holds.
local function all()
  local m, flat = {}, redis.call('HGETALL', meta)
  for i = 1, #flat, 2 do m[flat[i]] = flat[i + 1] end
  return m
end

local function trimmed(m) return tonumber((m.t or ':0'):match(':(%d+)$')) end

-- Whether every message is there with its body. One that never was is not, nor is one that expired, was evicted in part, or
-- is kept in another form.
local function whole(m)
  local length = redis.call('XLEN', stream)
  return m.v == FORM and length == tonumber(m.o) - trimmed(m) - tonumber(m.x or 0)
    and redis.call('HLEN', bodies) == length
end

local function part(m)
  local past = {}
  for field, value in pairs(m) do
    if field:sub(1, 2) == 'p:' then
      past[#past + 1] = field:sub(3)
      past[#past + 1] = value
    end
  end

  -- Up to where the position's epoch is good in this history.
  local position, base = tonumber(ARGV[3]), nil
  if ARGV[2] == m.e then
    base = tonumber(m.o)
  elseif m['p:' .. ARGV[2]] then
    base = tonumber(m['p:' .. ARGV[2]]:match('^(%d+)'))
  end
  local good = base and position <= base

  -- A group is trimmed by age only now and then: e, ts, id, k and n stand in this order in every entry.
  local time = redis.call('TIME')
  local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[6])
  local function too_old(entry) return tonumber(entry[2][4]) < oldest end

  local which, entries = ARGV[1], nil
  if which == 'after' and good and position >= trimmed(m) then
    entries = redis.call('XRANGE', stream, id_of(position + 1), '+', 'COUNT', ARGV[4])
    if entries[1] and too_old(entries[1]) then entries = nil end
  elseif which == 'before' and good then
    entries = redis.call('XREVRANGE', stream, id_of(math.max(position - 1, 0)), '-', 'COUNT', ARGV[4])
  elseif which == 'latest' then
    entries = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', ARGV[4])
  end
  if not entries then
    which, entries = 'latest', redis.call('XREVRANGE', stream, '+', '-', 'COUNT', ARGV[5])
  end

  local found, offsets = {}, {}
  for i, entry in ipairs(entries) do
    -- What stands before one that is too old is so too.
    if which ~= 'after' and too_old(entry) then break end
    offsets[i] = entry[1]:match('^(%d+)')
    found[i] = {offsets[i], entry[2][2], entry[2][8]}
  end
  for first = 1, #offsets, BODIES_STEP do
    local last = math.min(first + BODIES_STEP - 1, #offsets)
    for i, envelope in ipairs(redis.call('HMGET', bodies, unpack(offsets, first, last))) do
      found[first + i - 1][4] = envelope
    end
  end
  return {m.e, m.o, past, which, found}
end

