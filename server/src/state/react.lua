-- Takes what one user says of one kind of reaction to a message, if it is later than what they said before.
--
-- KEYS  2 the messages that have reactions, by offset  3 what a message's marks are called before its id  4 its counts
-- ARGV  2 message, 16 bytes  3 its id as text  4 user  5 kind  6 '1' given, '0' taken back  7 version or ''
--       8 kinds_max  9 marks_max  10 messages_max
-- Gives {'not_found'} {'full'} {'same'} {'changed', rev, kind, count, …}

local kind, given = ARGV[5], ARGV[6]
local marks, counts = KEYS[3] .. ARGV[3], KEYS[4] .. ARGV[3]
local mark = ARGV[4] .. kind

local offset = standing(ARGV[2])
if not offset then return {'not_found'} end

local was = redis.call('HGET', marks, mark)
local before, was_given = (was or '-1:0'):match('^(-?%d+):(%d)$')
before = tonumber(before)
local now = now_ms()
local version = tonumber(ARGV[7]) or math.max(now, before + 1)
if version <= before then return {'same'} end

-- Under no name stands the rev: a kind has one byte at least.
local rev = redis.call('HGET', counts, '')
if not was and redis.call('HLEN', marks) >= tonumber(ARGV[9]) then return {'full'} end
if given == '1' and redis.call('HEXISTS', counts, kind) == 0
  and redis.call('HLEN', counts) - (rev and 1 or 0) >= tonumber(ARGV[8]) then return {'full'} end

redis.call('HSET', marks, mark, text(version) .. ':' .. given)
redis.call('ZADD', KEYS[2], offset, ARGV[3])
while redis.call('ZCARD', KEYS[2]) > tonumber(ARGV[10]) do
  local oldest = redis.call('ZPOPMIN', KEYS[2])[1]
  redis.call('UNLINK', KEYS[3] .. oldest, KEYS[4] .. oldest)
end
if given ~= was_given then
  if redis.call('HINCRBY', counts, kind, given == '1' and 1 or -1) <= 0 then redis.call('HDEL', counts, kind) end
  rev = math.max(now, tonumber(rev or 0) + 1)
  redis.call('HSET', counts, '', text(rev))
end
for _, key in ipairs({KEYS[2], marks, counts}) do renew(key) end
if given == was_given then return {'same'} end

local answer = {'changed', text(rev)}
local all = redis.call('HGETALL', counts)
for i = 1, #all, 2 do
  if all[i] ~= '' then
    answer[#answer + 1] = all[i]
    answer[#answer + 1] = all[i + 1]
  end
end
return answer
