-- The reactions to some messages, and which of them some users have given.
--
-- KEYS  2 the messages that have reactions  3 what a message's marks are called before its id  4 its counts
-- ARGV  2 how many users  3… they  …… ids of messages as text
-- Gives for each message {rev, kind, count, a '1' or '0' for each user, …}, or {}; nothing when no message of the group has any

if redis.call('EXISTS', KEYS[2]) == 0 then return nil end

local users = tonumber(ARGV[2])

local function given(id, kind)
  local fields = {}
  for i = 1, users do fields[i] = ARGV[2 + i] .. kind end
  local marks = redis.call('HMGET', KEYS[3] .. id, unpack(fields))
  for i = 1, users do marks[i] = marks[i] and marks[i]:sub(-1) or '0' end
  return table.concat(marks)
end

local answer = {}
for i = 3 + users, #ARGV do
  local all, seen = redis.call('HGETALL', KEYS[4] .. ARGV[i]), {}
  for j = 1, #all, 2 do
    -- Under no name stands the rev.
    if all[j] == '' then table.insert(seen, 1, all[j + 1]) end
  end
  for j = 1, #all, 2 do
    if all[j] ~= '' then
      seen[#seen + 1] = all[j]
      seen[#seen + 1] = all[j + 1]
      seen[#seen + 1] = given(ARGV[i], all[j])
    end
  end
  answer[#answer + 1] = seen
end
return answer
