-- The reactions to some messages, and which of them one user has given.
--
-- KEYS  5 …  6 what a message's marks are called before its id  7 its counts
-- ARGV  2 user  3… ids of messages as text
-- Gives for each {rev, kind, count, '1' or '0', …}, or {}

local answer = {}
for i = 3, #ARGV do
  local all, seen = redis.call('HGETALL', KEYS[7] .. ARGV[i]), {}
  for j = 1, #all, 2 do
    if all[j] == '' then table.insert(seen, 1, all[j + 1]) end
  end
  for j = 1, #all, 2 do
    if all[j] ~= '' then
      local mark = redis.call('HGET', KEYS[6] .. ARGV[i], ARGV[2] .. all[j])
      seen[#seen + 1] = all[j]
      seen[#seen + 1] = all[j + 1]
      seen[#seen + 1] = mark and mark:sub(-1) or '0'
    end
  end
  answer[#answer + 1] = seen
end
return answer
