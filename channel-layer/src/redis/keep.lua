-- Numbers the message, keeps it and publishes it, once `check.lua` has let it pass: the end of publishing and amending.

local time = call('TIME')
local now, offset = tonumber(time[1]), last + 1
-- An entry costs about this much beside its envelope.
local OVERHEAD = 96
bytes = bytes + #envelope + OVERHEAD
local label = string.format('%.16s%016x', ARGV[2], offset)
-- It is pushed as it is kept: each long string that Lua makes is hashed, byte by byte.
local entry = time[1] .. label .. envelope
-- Redis would print a number as a double, with 17 digits, each time that it is given one.
local at = string.format('%d', offset)

-- The first write is one that a full Redis refuses: it does so before anything is changed, or not at all.
local head = struct.pack(HEAD, offset, bytes, renew_at, forgotten)
call('HSET', history, ARGV[1], ARGV[3], 'h', head, at, entry, id, label .. ARGV[4])
call('PUBLISH', history .. DATABASE, entry)

-- One by one it would cost more than the message itself.
local STEP = 64
if offset % STEP == 0 or bytes > BYTES_MAX * 17 / 16 or now >= renew_at then
  local s = call('HMGET', history, 't', 'x')
  local trimmed, taken_out = tonumber((s[1] or ''):sub(17), 16) or 0, tonumber(s[2] or 0)
  local changes = {}

  local function values(first, last)
    local offsets = {}
    for at = first, last do offsets[#offsets + 1] = at end
    return call('HMGET', history, unpack(offsets))
  end

  -- What is over a bound is dropped from the front of the history, the last message never. Of each that is dropped, or was
  -- taken out, its id stays: 16 bytes, and of the newest version of an amended message what it amends.
  local kept, passed, holes, epoch, more = offset - trimmed - taken_out, trimmed, 0, nil, true
  local step = 1
  while more do
    local first, stubs = passed + holes + 1, {}
    for i, entry in ipairs(values(first, math.min(first + step - 1, offset))) do
      local at = first + i - 1
      if not entry or #entry <= 32 then
        holes = holes + 1
      else
        local is_old = tonumber(entry:sub(1, 10)) < now - AGE_S
        more = kept > MESSAGES_MAX or bytes > BYTES_MAX or is_old
        if more then
          -- First goes what amendments had taken out in front of it.
          bytes, taken_out = bytes - OVERHEAD * holes, taken_out - holes
          passed, holes, epoch = at - 1, 0, entry:sub(11, 26)
          more = at < offset and (kept > MESSAGES_MAX or bytes > BYTES_MAX or is_old)
        end
        if not more then break end
        bytes, kept, passed = bytes - (#entry - 42) - OVERHEAD, kept - 1, at
        local is_amendment = entry:byte(63) == 3 and entry:byte(74) == 4
        stubs[#stubs + 1] = at
        stubs[#stubs + 1] = is_amendment and entry:sub(77, 92) .. entry:sub(45, 60) or entry:sub(45, 60)
      end
    end
    if #stubs > 0 then call('HSET', history, unpack(stubs)) end
    step = STEP
  end
  if passed > trimmed then
    for _, change in ipairs({'t', string.format('%s%016x', epoch, passed), 'x', taken_out}) do
      changes[#changes + 1] = change
    end
  end

  -- Ids are forgotten in the order in which they came, and not before what they name.
  local last = math.min(passed, offset - IDS_MAX)
  if last > forgotten then
    repeat
      local first, fields = forgotten + 1, {}
      forgotten = math.min(forgotten + STEP, last)
      for i, stub in ipairs(values(first, forgotten)) do
        fields[#fields + 1] = first + i - 1
        if stub then fields[#fields + 1] = stub:sub(1, 16) end
        if stub and #stub > 16 then
          fields[#fields + 1] = 'a' .. stub:sub(17)
          -- Of what was put back nothing else knows where it stood.
          fields[#fields + 1] = stub:sub(17)
        end
      end
      call('HDEL', history, unpack(fields))
    until forgotten == last
  end

  head = struct.pack(HEAD, offset, bytes, now + math.floor(AGE_S / 16), forgotten)
  call('HSET', history, 'h', head, unpack(changes))
  -- The history lives for the age after the last message, or a little longer: that need not be said every time.
  call('PEXPIRE', history, math.floor(AGE_S * 1062.5))
end
return offset
