-- Makes a key absent, unless it is in flight. See claim.lua for the values.
--
-- KEYS    the claim key
-- Reply   its value before ('' if it was absent), ms until that would have expired
local value = redis.call('GET', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if value and string.sub(value, 1, 1) ~= 'f' then
  redis.call('DEL', KEYS[1])
end
return { value or '', left }
