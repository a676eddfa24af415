-- How far some users have read.
--
-- KEYS  5 positions by user
-- ARGV  2… users
-- Gives 'epoch:offset' or nothing for each

return redis.call('HMGET', KEYS[5], unpack(ARGV, 2))
