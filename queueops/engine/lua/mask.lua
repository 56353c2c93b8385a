-- mask: put another name in the place of an org's in a step of a queue's history.
-- KEYS    1 prefix
-- ARGV    1 queue   2 'settled' | 'failures' (lists) | 'slowest'   3 hour of the slowest ('' = a list)
--         4 place to begin at   5 at most so many lines   6 org   7 what stands for it
--         ('' = only count)
-- RETURNS number of the org's lines
-- COST    O(lines); of the slowest all, 50 at most
-- KEEPS   the lines, their order and their number; the other fields of each

local queue, family, hour, from, count, org, word = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6],
  ARGV[7]
local number = 0

local function masked(line) -- nil when it stays as it is; the fields are those of lib/history
  local before, name, after = line:match('^([^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t)([^\t]*)(\t.*)$')
  if name ~= org then return nil end
  number = number + 1
  return word ~= '' and before .. word .. after or nil
end

if family == 'slowest' then
  local slowest = key.slowest(queue, hour)
  local found = redis.call('ZRANGE', slowest, 0, -1, 'WITHSCORES')
  for i = 1, #found, 2 do
    local line = masked(found[i])
    if line then
      redis.call('ZREM', slowest, found[i])
      redis.call('ZADD', slowest, found[i + 1], line)
    end
  end
else
  local list = family == 'settled' and key.settled(queue) or key.failures(queue)
  for i, line in ipairs(redis.call('LRANGE', list, from, from + count - 1)) do
    line = masked(line)
    if line then redis.call('LSET', list, from + i - 1, line) end
  end
end
return number
