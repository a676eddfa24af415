-- How far some users have read.
--
-- KEYS  2 positions by user
-- ARGV  2… users
-- Gives 'epoch:offset' or nothing for each

return redis.call('HMGET', KEYS[2], unpack(ARGV, 2))
