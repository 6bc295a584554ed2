-- Takes over what another store knew, unless as much is known here. See claim.lua for the values.
--
-- KEYS    claim keys, or aliases
-- ARGV    for each: its value, ms until that expires
-- Reply   for each: 1 if it was new, else 0
local replies = {}
for i, key in ipairs(KEYS) do
  local value, keep = ARGV[2 * i - 1], ARGV[2 * i]
  local known = redis.call('GET', key)
  local kind = known and string.sub(known, 1, 1)
  local is_new = not known or kind == 'r' or (kind == 'u' and string.sub(value, 1, 1) == 'd')
  if is_new then
    redis.call('SET', key, value, 'PX', keep)
  end
  replies[i] = is_new and 1 or 0
end
return replies
