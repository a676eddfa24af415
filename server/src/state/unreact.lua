-- Drops the reactions to a message that was deleted.
--
-- KEYS  6 the messages that have reactions  7 what a message's marks are called before its id  8 its counts
-- ARGV  2 the message's id as text

redis.call('UNLINK', KEYS[7] .. ARGV[2], KEYS[8] .. ARGV[2])
redis.call('ZREM', KEYS[6], ARGV[2])
return 1
