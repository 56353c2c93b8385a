-- strays: a step through jobs that stand in no place of their org: blocked ones, and those of a paused task.
-- KEYS    1 prefix
-- ARGV    1 queue   2 'aside' | 'blocked'   3 the task ('' = blocked)   4 place to begin at   5 at most so many jobs   6 org
-- RETURNS number of jobs looked at, then the task ids of those that belong to the org
-- COST    O(jobs looked at)
-- KEEPS   reads only

--- @include "lib/head"

local queue, from, count, org = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local zset = ARGV[2] == 'aside' and key.aside(queue, ARGV[3]) or key.blocked(queue)
local tags = redis.call('ZRANGE', zset, from, from + count - 1)
local answer = { #tags }
for _, tag in ipairs(tags) do
  local job = head.parse(redis.call('GETRANGE', key.job(queue, tag), 0, head.BYTES))
  if job and job.org == org then answer[#answer + 1] = job.task_id end
end
return answer
