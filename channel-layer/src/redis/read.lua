-- Gives a part of a group's history as `page.lua` says, or nothing if the group has to be opened first. Changes nothing.

local m = all()
return whole(m) and part(m)
