-- One stretch of the server's keys, with what they hold and ms until they expire.
--
-- ARGV    where the stretch starts, and the pattern of our keys
-- Reply   where the next one starts ("0": there is none); then for each key: its name, its value,
--         ms until it expires. A key can come twice.
local stretch = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 1000)
local found = {}
for _, key in ipairs(stretch[2]) do
  local value = redis.call('GET', key)
  if value then
    found[#found + 1] = { key, value, redis.call('PTTL', key) }
  end
end
return { stretch[1], found }
