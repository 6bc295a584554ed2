-- Returns the state of each key. If asked to, claims the absent ones first.
--
-- KEYS    the claim keys
-- ARGV    fence, '1' to take or '0' to look, now (ms); then for each key: lease (ms), the key of
--         its alias or '', how long the alias is kept (ms)
-- Reply   for each key: its value ('c' if the caller now has the claim, '' if absent), ms until it expires
--
-- Values: 'f <fence> <since>' in flight, 'd <since> <fingerprint>' delivered,
--         'u <since> <note>' uncertain, 'r <note>' released moments ago: counts as absent.
-- An alias holds the name of the claim key that it was seen with.
local fence, take, now = ARGV[1], ARGV[2] == '1', ARGV[3]

local function stands(value)
  return value and string.sub(value, 1, 1) ~= 'r'
end

local replies = {}
for i, key in ipairs(KEYS) do
  local lease, alias, keep = ARGV[3 * i + 1], ARGV[3 * i + 2], ARGV[3 * i + 3]
  local at, value = key, false
  if alias ~= '' then
    local first = redis.call('GET', alias)
    if first and first ~= key then
      local other = redis.call('GET', first)
      if stands(other) then
        at, value = first, other
      end
    end
  end
  if not value then
    value = redis.call('GET', key)
    if take then
      if not stands(value) then
        redis.call('SET', key, 'f ' .. fence .. ' ' .. now, 'PX', lease)
        value = 'c'
      elseif string.match(value, '^f (%S+)') == fence then
        value = 'c'
      end
    end
    if alias ~= '' and (value == 'c' or stands(value)) then
      redis.call('SET', alias, key, 'PX', keep)
    end
  end
  replies[i] = { value or '', redis.call('PTTL', at) }
end
return replies
