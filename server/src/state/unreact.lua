-- Drops the reactions to a message that was deleted.
--
-- KEYS  2 the messages that have reactions  3 what a message's marks are called before its id  4 its counts
-- ARGV  2 the message's id as text

redis.call('UNLINK', KEYS[3] .. ARGV[2], KEYS[4] .. ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
