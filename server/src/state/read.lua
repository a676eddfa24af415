-- Moves on how far a user has read.
--
-- KEYS  2 positions by user
-- ARGV  2 user  3 epoch  4 offset  5 users_max
-- Gives 'epoch:offset' or 'full'

local users, user = KEYS[2], ARGV[2]
local was = redis.call('HGET', users, user)
local epoch, offset = (was or ':'):match('^(%x*):(%d*)$')
if epoch == ARGV[3] and tonumber(offset) >= tonumber(ARGV[4]) then return was end
if not was and redis.call('HLEN', users) >= tonumber(ARGV[5]) then return 'full' end
local position = ARGV[3] .. ':' .. ARGV[4]
redis.call('HSET', users, user, position)
renew(users)
return position
