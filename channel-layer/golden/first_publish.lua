-- Numbers one message, keeps it, and publishes it with its position; or says why not, and does nothing.
--
-- KEYS  1 meta  2 stream  3 young ids  4 old ids
-- ARGV  1 channel  2 epoch  3 life  4 node  5 the node's chain as it must stand  6 as it will stand
--       7 id  8 digest  9 floor epoch  10 floor offset  11 envelope
--       12 messages_max  13 bytes_max  14 age_ms  15 ids_max
-- Gives {'ok', offset} {'dup', epoch, offset} {'conflict'} {'undecided'} {'stale'} {'fenced'}

local meta, stream, young, old = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local channel, epoch, life, node = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local id, digest, envelope = ARGV[7], ARGV[8], ARGV[11]
local messages_max, bytes_max, age_ms, ids_max =
  tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])

-- An entry costs about this much beside its envelope.
local OVERHEAD = 96
-- Trimming one by one would cost more than the message itself.
local TRIM_STEP = 64

local function text(number) return string.format('%.0f', number) end

local chain = 'n:' .. node
local m = redis.call('HMGET', meta, 'e', 'life', chain, 'o', 'b', 'd0', 'd1')
if m[1] ~= epoch or m[2] ~= life then return {'stale'} end
if m[3] ~= ARGV[5] then return {'fenced'} end

local known = redis.call('HGET', young, id) or redis.call('HGET', old, id)
if known then
  redis.call('HSET', meta, chain, ARGV[6])
  local at, offset, was = known:match('^(%x+):(%d+):(%x+)$')
  if was ~= digest then return {'conflict'} end
  return {'dup', at, offset}
end

-- The sender's position, taken to this history: what an epoch lost does not count as seen.
local floor = tonumber(ARGV[10])
if ARGV[9] ~= epoch then
  local past = redis.call('HGET', meta, 'p:' .. ARGV[9])
  floor = math.min(floor, past and tonumber(past:match('^(%d+)')) or 0)
end
if floor < tonumber(m[7] or 0) then
  redis.call('HSET', meta, chain, ARGV[6])
  return {'undecided'}
end

local offset = tonumber(m[4]) + 1
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('XADD', stream, text(offset) .. '-0',
  'e', epoch, 'ts', text(now), 'id', id, 'k', 'msg', 'b', envelope)
local bytes = tonumber(m[5]) + #envelope + OVERHEAD

if redis.call('HLEN', young) >= ids_max then
  redis.call('UNLINK', old)
  redis.call('RENAME', young, old)
  redis.call('HSET', meta, 'd1', m[6] or '0', 'd0', text(offset - 1))
end
redis.call('HSET', young, id, epoch .. ':' .. text(offset) .. ':' .. digest)

local kept = redis.call('XLEN', stream)
if kept >= messages_max + TRIM_STEP or bytes > bytes_max * 17 / 16 or offset % TRIM_STEP == 0 then
  local dropped
  repeat
    dropped = 0
    local last
    for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', TRIM_STEP)) do
      -- e, ts, id, k and b stand in this order in every entry.
      local fields = entry[2]
      local over = kept > messages_max or bytes > bytes_max or tonumber(fields[4]) < now - age_ms
      if kept == 1 or not over then break end
      last = {fields[2], entry[1]:match('^(%d+)')}
      kept, bytes, dropped = kept - 1, bytes - #fields[10] - OVERHEAD, dropped + 1
    end
    if last then
      redis.call('XTRIM', stream, 'MINID', '=', text(tonumber(last[2]) + 1) .. '-0')
      redis.call('HSET', meta, 't', last[1] .. ':' .. last[2])
    end
  until dropped < TRIM_STEP
end

redis.call('HSET', meta, chain, ARGV[6], 'o', text(offset), 'b', text(bytes))
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, age_ms) end
redis.call('PUBLISH', channel, epoch .. string.format('%016x', offset) .. envelope)
return {'ok', text(offset)}
