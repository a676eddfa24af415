-- What publishing and amending have in common: whether a message may be kept, and how it is. Stands before either script.
--
-- KEYS  1 meta  2 stream  3 young ids  4 old ids  5 bodies
-- ARGV  1 channel  2 epoch  3 life, 8 digits of each of its ids  4 node  5 the node's chain as it must stand  6 as it will stand
--       7 id  8 digest  9 floor epoch  10 floor offset  11 envelope
--       12 messages_max  13 bytes_max  14 age_ms  15 ids_max
-- Gives {'ok', offset} {'dup', epoch, offset} {'conflict'} {'undecided'} {'stale'} {'fenced'}

local meta, stream, young, old, bodies = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local channel, epoch, life, node = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local id, digest = ARGV[7], ARGV[8]
local messages_max, bytes_max, age_ms, ids_max =
  tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])

-- An entry costs about this much beside its envelope.
local OVERHEAD = 96
-- Trimming one by one would cost more than the message itself.
local TRIM_STEP = 64

local function text(number) return string.format('%.0f', number) end

-- Every command costs a microsecond or two, and this runs for every message: what can be known from `meta` is not asked again.
local chain = 'n:' .. node
local m = redis.call('HMGET', meta, 'e', 'life', chain, 'o', 'b', 'd0', 'd1', 't', 'x', 'ttl')
local bytes = tonumber(m[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Nothing is done but that the chain moves on.
local function refuse(...)
  redis.call('HSET', meta, chain, ARGV[6])
  return {...}
end

-- What the index has instead of the digest of a message that was replaced: what it amends, if anything, and as what.
local function bare(target, what) return '-' .. (target or '') .. (what or '') end

-- Why the message is not kept; nil: it may be.
local function refusal()
  if m[1] ~= epoch or m[2]:sub(1, 8) .. m[2]:sub(41, 48) ~= life then return {'stale'} end
  if m[3] ~= ARGV[5] then return {'fenced'} end

  local known = redis.call('HGET', young, id) or m[6] and redis.call('HGET', old, id)
  if known then
    local at, offset, was = known:match('^(%x+):(%d+):(.+)$')
    -- An amendment says in its own arguments what it amends.
    if was ~= digest and was ~= bare(ARGV[16], ARGV[18]) then return refuse('conflict') end
    return refuse('dup', at, offset)
  end

  -- The sender's position, taken to this history: what an epoch lost does not count as seen.
  local floor = tonumber(ARGV[10])
  if ARGV[9] ~= epoch then
    local past = redis.call('HGET', meta, 'p:' .. ARGV[9])
    floor = math.min(floor, past and tonumber(past:match('^(%d+)')) or 0)
  end
  if floor < tonumber(m[7] or 0) then return refuse('undecided') end
end

-- Drops from the front of the history what is over a bound, the last message never.
local function trim()
  local before = tonumber(m[8] and m[8]:match(':(%d+)$') or 0)
  local kept, passed, dropped, epoch_passed = redis.call('XLEN', stream), before, 0, nil
  repeat
    local offsets = {}
    for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', TRIM_STEP)) do
      -- e, ts, id, k and n stand in this order in every entry.
      local at, fields = entry[1]:match('^(%d+)'), entry[2]
      local function over()
        return kept > messages_max or bytes > bytes_max or tonumber(fields[4]) < now - age_ms
      end
      if not over() then break end
      -- First goes what amendments had taken out in front of it.
      bytes = bytes - OVERHEAD * (at - 1 - passed)
      passed, epoch_passed = at - 1, fields[2]
      if kept == 1 or not over() then break end
      bytes = bytes - fields[10] - OVERHEAD
      passed, kept, offsets[#offsets + 1] = passed + 1, kept - 1, at
    end
    if #offsets > 0 then
      redis.call('XTRIM', stream, 'MINID', '=', text(passed + 1) .. '-0')
      redis.call('HDEL', bodies, unpack(offsets))
      dropped = dropped + #offsets
    end
  until #offsets < TRIM_STEP
  if passed > before then
    redis.call('HSET', meta, 't', epoch_passed .. ':' .. text(passed))
    -- What amendments had taken out of the offsets that are passed is not missing any more.
    local taken_out = passed - before - dropped
    if taken_out > 0 then redis.call('HINCRBY', meta, 'x', text(-taken_out)) end
  end
end

-- Numbers the message, keeps it and publishes it.
local function keep(envelope)
  local offset = tonumber(m[4]) + 1
  redis.call('XADD', stream, text(offset) .. '-0',
    'e', epoch, 'ts', text(now), 'id', envelope:sub(3, 18), 'k', 'msg', 'n', #envelope)
  redis.call('HSET', bodies, text(offset), envelope)
  bytes = bytes + #envelope + OVERHEAD

  local ids = offset - 1 - tonumber(m[6] or 0)
  if ids >= ids_max then
    redis.call('UNLINK', old)
    -- Redis may have evicted it alone.
    if redis.call('HLEN', young) > 0 then redis.call('RENAME', young, old) end
    redis.call('HSET', meta, 'd1', m[6] or '0', 'd0', text(offset - 1))
    ids = 0
  end
  redis.call('HSET', young, id, epoch .. ':' .. text(offset) .. ':' .. digest)

  local trimmed = tonumber(m[8] and m[8]:match(':(%d+)$') or 0)
  local kept = offset - trimmed - tonumber(m[9] or 0)
  if kept >= messages_max + TRIM_STEP or bytes > bytes_max * 17 / 16 or offset % TRIM_STEP == 0 then trim() end

  -- Keys live for the age after the last message, or a little longer: that need not be said every time, but to a new key.
  local used = 'u:' .. node
  if ids == 0 or kept <= 1 or now >= tonumber(m[10] or 0) then
    redis.call('HSET', meta, chain, ARGV[6], used, time[1], 'o', text(offset), 'b', text(bytes), 'ttl', text(now + age_ms / 16))
    for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, text(age_ms * 17 / 16)) end
  else
    redis.call('HSET', meta, chain, ARGV[6], used, time[1], 'o', text(offset), 'b', text(bytes))
  end
  redis.call('PUBLISH', channel, epoch .. string.format('%016x', offset) .. envelope)
  return {'ok', text(offset)}
end
