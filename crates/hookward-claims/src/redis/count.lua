-- Counts one stretch of the server's keys. ARGV: where it starts, and the pattern of our keys.
-- Gives where the next stretch starts ("0": there is none) and how many keys fit.
local stretch = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 1000)
return { stretch[1], #stretch[2] }
