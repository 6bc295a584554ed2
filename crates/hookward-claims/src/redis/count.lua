-- Counts one batch of the server's keys. ARGV: the cursor, and the pattern of our keys.
-- Reply: the next cursor ("0" at the end), and how many keys match.
local stretch = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 1000)
return { stretch[1], #stretch[2] }
