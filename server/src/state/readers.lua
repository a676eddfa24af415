-- How far some users have read.
--
-- KEYS  6 positions by user
-- ARGV  2… users
-- Gives 'epoch:offset' or nothing for each

return redis.call('HMGET', KEYS[6], unpack(ARGV, 2))
