-- sample: the heads of some jobs that wait, at given places of their sets.
-- KEYS    1 prefix
-- ARGV    1 queue   then 6 a set: 'lane' | 'scheduled' | 'aside' | 'blocked', its resource or task, its org,
--         first place, distance from one to the next, how many
-- RETURNS one text, a line a job: number of the set (from 1), score, patience ms, deadline ms, first enqueued ms,
--         attempt, org, task id, separated by TAB
-- COST    O(log jobs) a job; the caller asks for some hundreds
-- KEEPS   reads only

--- @include "lib/head"

local queue, lines = ARGV[1], {}

local function zset_of(kind, name, org)
  if kind == 'lane' then return key.lane(queue, name, org) end
  if kind == 'scheduled' then return key.scheduled(queue, org) end
  if kind == 'aside' then return key.aside(queue, name) end
  return key.blocked(queue)
end

local function add(number, tag, score)
  local job = head.parse(redis.call('GETRANGE', key.job(queue, tag), 0, head.BYTES))
  if not job then return end
  lines[#lines + 1] = string.format('%d\t%s\t%.17g\t%.17g\t%.17g\t%.17g\t%s\t%s', number, score, job.patience, job.deadline,
    job.first, job.attempt, job.org, job.task_id)
end

for at = 2, #ARGV, 6 do
  local number, zset = (at + 4) / 6, zset_of(ARGV[at], ARGV[at + 1], ARGV[at + 2])
  local first, distance, count = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  if distance == 1 then
    local found = redis.call('ZRANGE', zset, first, first + count - 1, 'WITHSCORES')
    for i = 1, #found, 2 do add(number, found[i], found[i + 1]) end
  else
    for step = 0, count - 1 do
      local place = math.floor(first + step * distance)
      local found = redis.call('ZRANGE', zset, place, place, 'WITHSCORES')
      if found[1] then add(number, found[1], found[2]) end
    end
  end
end
return table.concat(lines, '\n')
