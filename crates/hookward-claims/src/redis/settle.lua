-- Ends the claim with this fence, unless a later claim changed the key. See claim.lua for the values.
--
-- KEYS    the claim key
-- ARGV    fence, the value to leave or '' for none, ms until that expires
-- Reply   1 if it is settled, 0 if a later claim holds the key
local key, fence, verdict, keep = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local value = redis.call('GET', key)
if value and value ~= verdict then
  local kind = string.sub(value, 1, 1)
  if kind == 'd' or kind == 'u' then
    return 0
  end
  if kind == 'f' and string.match(value, '^f (%S+)') ~= fence then
    return 0
  end
end
if verdict == '' then
  redis.call('DEL', key)
elseif value ~= verdict then
  redis.call('SET', key, verdict, 'PX', keep)
end
return 1
