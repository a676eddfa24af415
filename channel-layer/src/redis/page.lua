-- What opening and reading have in common: whether a history is there, and a part of it. Stands before either script.
--
-- KEYS  1 history
-- ARGV  1 'after', 'before' or 'latest'  2 position that this is said of
--       3 how many messages then  4 how many of the latest if that cannot be had without a hole
-- A part is {epoch, offset, 'past epoch:base:high …', which, {entry, …}}, where `which` is what was asked for or else
-- 'latest'; oldest first if it is 'after', newest first otherwise. An entry is when it was kept (s), its position and its
-- envelope. Nothing in it is too old.

local history = KEYS[1]

-- The version of the form in which all this is kept.
local FORM = '4'
-- More values than some thousands cannot be handed to one command.
local STEP_MIN, STEP_MAX = 64, 500

-- What is known of the history.
local function all()
  local m, fields = {}, {'v', 'e', 'h', 'life', 't', 'p', 'nodes'}
  for i, value in ipairs(redis.call('HMGET', history, unpack(fields))) do m[fields[i]] = value end
  if m.h and #m.h == 32 then m.last = struct.unpack(HEAD, m.h) end
  return m
end

-- One that never was is not there, nor is one that expired, or is kept in another form.
local function whole(m) return m.v == FORM and m.e and m.last and m.life end

local function part(m)
  local trimmed, head = tonumber((m.t or ''):sub(17), 16) or 0, m.last

  -- Of a past epoch a position is good as far as this history has that epoch as it was; what is behind that comes again, and
  -- says where it stood.
  local epoch, position, good = ARGV[2]:sub(1, 16), tonumber(ARGV[2]:sub(17), 16), nil
  if epoch == m.e then
    good = position <= head
  else
    local base = tonumber((' ' .. (m.p or '')):match(' ' .. epoch .. ':(%d+)'))
    position, good = math.min(position, base or 0), base
  end

  -- The entries from one offset to another, in either order, up to one that is too old; and whether there was such a one, for
  -- a group is trimmed by age only now and then. What amendments took out is passed over.
  local oldest = redis.call('TIME')[1] - AGE_S
  local function entries(first, last, by, max)
    local found = {}
    while #found < max and (last - first) * by >= 0 do
      local offsets = {}
      for at = first, last, by do
        offsets[#offsets + 1] = at
        if #offsets == math.min(math.max(max - #found, STEP_MIN), STEP_MAX) then break end
      end
      for _, entry in ipairs(redis.call('HMGET', history, unpack(offsets))) do
        if entry and #entry > 32 and #found < max then
          if tonumber(entry:sub(1, 10)) < oldest then return found, true end
          found[#found + 1] = entry
        end
      end
      first = first + by * #offsets
    end
    return found, false
  end

  local which, found, is_old = ARGV[1], nil, nil
  if which == 'after' and good and position >= trimmed then
    found, is_old = entries(position + 1, head, 1, tonumber(ARGV[3]))
    if is_old then found = nil end
  elseif which == 'before' and good then
    found = entries(math.min(position - 1, head), trimmed + 1, -1, tonumber(ARGV[3]))
  elseif which == 'latest' then
    found = entries(head, trimmed + 1, -1, tonumber(ARGV[3]))
  end
  if not found then
    which, found = 'latest', entries(head, trimmed + 1, -1, tonumber(ARGV[4]))
  end
  return {m.e, string.format('%d', m.last), m.p or '', which, found}
end

