-- Puts, renews or withdraws one node's row of a group's presence, drops the rows whose lease has run out, and passes on
-- what has changed.
--
-- KEYS  1 leases: node -> 'until:version', in ms since 1970  2 rows: node -> row
-- ARGV  1 'put', 'renew' or 'withdraw'  2 channel  3 node  4 version  5 lease_ms  6 row  7 what to pass on
-- Gives {1 or 0: the row is there, then node, version and ms left of every other row}

local leases, rows = KEYS[1], KEYS[2]
local what, channel, me, version, lease_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mine = string.format('%.0f:', now + lease_ms) .. version

local there = 1
if what == 'put' then
  redis.call('HSET', leases, me, mine)
  redis.call('HSET', rows, me, ARGV[6])
elseif what == 'renew' then
  local ends, held = (redis.call('HGET', leases, me) or ''):match('^(%d+):(%d+)$')
  if held == version and tonumber(ends) > now and redis.call('HEXISTS', rows, me) == 1 then
    redis.call('HSET', leases, me, mine)
  else
    there = 0
  end
else
  redis.call('HDEL', leases, me)
  redis.call('HDEL', rows, me)
end

local answer, last = {there}, now
local flat = redis.call('HGETALL', leases)
for i = 1, #flat, 2 do
  local node = flat[i]
  local ends, theirs = flat[i + 1]:match('^(%d+):(%d+)$')
  ends = tonumber(ends)
  if not ends or ends <= now then
    redis.call('HDEL', leases, node)
    redis.call('HDEL', rows, node)
  else
    last = math.max(last, ends)
    if node ~= me then
      answer[#answer + 1] = node
      answer[#answer + 1] = theirs
      answer[#answer + 1] = string.format('%.0f', ends - now)
    end
  end
end

-- Every row is renewed within its lease, so what nobody renews is gone as a whole: with the last of them.
if last > now then
  redis.call('PEXPIRE', leases, string.format('%.0f', last - now))
  redis.call('PEXPIRE', rows, string.format('%.0f', last - now))
end
if ARGV[7] ~= '' then redis.call('PUBLISH', channel, ARGV[7]) end
return answer
