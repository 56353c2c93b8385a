-- lead: hold the lease of what one process of all does, take it when it is free, or give it up.
-- KEYS    1 prefix
-- ARGV    1 name   2 holder   3 length of the lease in ms (0 = give it up)
-- RETURNS the lock's value while the holder has the lease, else ''
-- COST    O(1)
-- KEEPS   one holder at a time; each new lease has a value that no earlier one had

local lock, holder, ms = key.lock(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local value = redis.call('GET', lock)
if value and value:match('^(.*)\t') ~= holder then return '' end
if ms == 0 then
  if value then redis.call('DEL', lock) end
  return ''
end
value = value or holder .. '\t' .. redis.call('HINCRBY', key.totals(), 'leases of ' .. ARGV[1], 1)
redis.call('SET', lock, value, 'PX', ms)
return value
