-- purge: delete a step of a queue's waiting jobs. The caller repeats it until nothing is left; it is not atomic as a whole.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue   3 at most so many jobs   4 org ('' = all; of one org what is
--         in its lanes and scheduled)
-- RETURNS number of jobs deleted; 0 when no job waits
-- COST    O(log jobs) a job
-- KEEPS   leased jobs run on; a deleted job counts as cancelled

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/empty"
--- @include "lib/head"
--- @include "lib/forget"
--- @include "lib/blocked"

now.set(ARGV[1])
local queue, limit, org = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local q = state.queue(queue)
local purge = { number = 0 }

function purge.full() return purge.number >= limit end

local function forget_jobs(tags)
  for _, tag in ipairs(tags) do
    local job = head.parse(redis.call('GETRANGE', key.job(queue, tag), 0, head.BYTES))
    forget.job(queue, tag, job and job.task_id or '', 'cancelled')
  end
  purge.number = purge.number + #tags
end

local function drop(zset) -- jobs of one lane or schedule; returns how many
  local tags = redis.call('ZRANGE', zset, 0, limit - purge.number - 1)
  forget_jobs(tags)
  return tags[1] and redis.call('ZREM', zset, unpack(tags)) or 0
end

function purge.lanes(o)
  for resource in o.lanes:gmatch('(%S*) ') do
    if purge.full() then return end
    q.depth = q.depth - drop(key.lane(queue, resource, o.name))
    empty.lane(q, o, resource)
  end
end

function purge.scheduled(o)
  local scheduled = key.scheduled(queue, o.name)
  state.count(q, 'scheduled', -drop(scheduled))
  if redis.call('EXISTS', scheduled) == 0 then redis.call('ZREM', key.timers(queue), 's' .. o.name) end
end

local function of_the_queue()
  empty.rings(q, purge, limit)
  empty.timers(q, purge, limit, '-inf', '+inf')
  if purge.full() then return end
  local tags = redis.call('ZRANGE', key.blocked(queue), 0, limit - purge.number - 1)
  for _, tag in ipairs(tags) do blocked.drop(q, tag) end
  forget_jobs(tags)
end

now.drainable()
if org == '' then
  of_the_queue()
else
  purge.lanes(state.org(q, org))
  if not purge.full() then purge.scheduled(state.org(q, org)) end
end
state.count(q, 'cancelled', purge.number)
state.flush()
return purge.number
