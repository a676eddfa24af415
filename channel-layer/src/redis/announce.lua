-- Says that a node is there, and answers who else is. Times are this server's, so that the nodes' clocks do not matter.
-- KEYS: the nodes, by when they were last heard (ms).
-- ARGV: who announces itself; how long a node counts after it was last heard (ms); how many are answered at most.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local grace = tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - grace)
-- When nobody is left, nothing stays behind.
redis.call('PEXPIRE', KEYS[1], grace)
return redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[3]) - 1)
