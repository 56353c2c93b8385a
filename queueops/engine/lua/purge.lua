-- purge: delete a step of a queue's waiting jobs. The caller repeats it until nothing is left; it is not atomic as a whole.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue   3 at most so many jobs
-- RETURNS number of jobs deleted; 0 when no job waits
-- COST    O(log jobs) a job
-- KEEPS   leased jobs run on

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/rings"
--- @include "lib/jobs"
--- @include "lib/forget"
--- @keys lane ring rings timers scheduled org job

now.set(ARGV[1])
local queue, limit = ARGV[2], tonumber(ARGV[3])
local q = state.queue(queue)
local purged = 0

local function drop(tag)
  local head = jobs.parse(redis.call('GETRANGE', key.job(queue, tag), 0, jobs.HEAD_BYTES))
  jobs.forget(queue, tag, head and head.task_id or '')
  purged = purged + 1
end

local function purge_lane(o, resource)
  local lane = key.lane(queue, resource, o.name)
  local tags = redis.call('ZRANGE', lane, 0, limit - purged - 1)
  for _, tag in ipairs(tags) do
    redis.call('ZREM', lane, tag)
    drop(tag)
  end
  rings.mirror_take(q, #tags)
  if redis.call('EXISTS', lane) == 0 then rings.lane_emptied(q, o, resource) end
end

local function purge_lanes(o)
  for _, field in ipairs(redis.call('HKEYS', key.org(queue, o.name))) do
    if field:sub(1, 2) == 'l:' and purged < limit then purge_lane(o, field:sub(3)) end
  end
end

local function purge_scheduled(o)
  local scheduled = key.scheduled(queue, o.name)
  for _, tag in ipairs(redis.call('ZRANGE', scheduled, 0, limit - purged - 1)) do
    redis.call('ZREM', scheduled, tag)
    state.count(q, 'scheduled', -1)
    drop(tag)
  end
  if redis.call('EXISTS', scheduled) == 0 then redis.call('ZREM', key.timers(queue), 's' .. o.name) end
end

now.drainable()
for _, resource in ipairs(redis.call('ZRANGE', key.rings(queue), 0, 99)) do
  for _, org in ipairs(redis.call('ZRANGE', key.ring(queue, resource), 0, 99)) do
    if purged < limit then purge_lanes(state.org(q, org)) end
  end
  if redis.call('EXISTS', key.ring(queue, resource)) == 0 then redis.call('ZREM', key.rings(queue), resource) end
end
for _, entry in ipairs(redis.call('ZRANGE', key.timers(queue), 0, 199)) do -- orgs that are closed, or wait for a time
  local purge_kind = ({ s = purge_scheduled, o = purge_lanes })[entry:sub(1, 1)]
  if purge_kind and purged < limit then purge_kind(state.org(q, entry:sub(2))) end
end
state.flush()
return purged
