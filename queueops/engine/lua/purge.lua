-- purge: delete a step of a queue's waiting jobs. The caller repeats it until nothing is left; it is not atomic as a whole.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue   3 at most so many jobs
-- RETURNS number of jobs deleted; 0 when no job waits
-- COST    O(log jobs) a job
-- KEEPS   leased jobs run on; a deleted job counts as cancelled

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/lanes"
--- @include "lib/head"
--- @include "lib/forget"
--- @include "lib/blocked"

local RINGS_A_CALL = 100
local TIMERS_A_CALL = 500

now.set(ARGV[1])
local queue, limit = ARGV[2], tonumber(ARGV[3])
local q = state.queue(queue)
local purged = 0

local function drop(zset) -- jobs of one lane or schedule; returns how many
  local tags = redis.call('ZRANGE', zset, 0, limit - purged - 1)
  if not tags[1] then return 0 end
  for _, tag in ipairs(tags) do
    local job = head.parse(redis.call('GETRANGE', key.job(queue, tag), 0, head.BYTES))
    forget.job(queue, tag, job and job.task_id or '', 'cancelled')
  end
  redis.call('ZREM', zset, unpack(tags))
  purged = purged + #tags
  return #tags
end

local function purge_lanes(o)
  for resource in o.lanes:gmatch('(%S*) ') do
    if purged >= limit then return end
    local lane = key.lane(queue, resource, o.name)
    q.depth = q.depth - drop(lane)
    if redis.call('EXISTS', lane) == 0 then rings.lane_emptied(q, o, resource) end
  end
  if o.lanes == '' then lanes.open(q, o) end -- a closing is only worth remembering for jobs that wait
end

local function purge_scheduled(o)
  local scheduled = key.scheduled(queue, o.name)
  state.count(q, 'scheduled', -drop(scheduled))
  if redis.call('EXISTS', scheduled) == 0 then redis.call('ZREM', key.timers(queue), 's' .. o.name) end
end

local function purge_ring(resource)
  local ring = key.ring(queue, resource)
  for _, org in ipairs(redis.call('ZRANGE', ring, 0, limit - 1)) do
    if purged >= limit then break end
    local o = state.org(q, org)
    purge_lanes(o)
    if not rings.has_lane(o, resource) then redis.call('ZREM', ring, org) end
  end
  if redis.call('EXISTS', ring) == 0 then redis.call('ZREM', key.rings(queue), resource) end
end

now.drainable()
--- @include "lib/asides"
asides.into_lanes(q, limit)
for _, resource in ipairs(redis.call('ZRANGE', key.rings(queue), 0, RINGS_A_CALL - 1)) do purge_ring(resource) end
local of_timer = { -- orgs that wait for a time, or are closed, and rings that are
  s = function(org) purge_scheduled(state.org(q, org)) end,
  o = function(org) purge_lanes(state.org(q, org)) end,
  r = purge_ring,
}
for start = 0, TIMERS_A_CALL * 99, TIMERS_A_CALL do
  local entries = redis.call('ZRANGE', key.timers(queue), start, start + TIMERS_A_CALL - 1)
  for _, entry in ipairs(entries) do
    local purge = of_timer[entry:sub(1, 1)]
    if purge and purged < limit then purge(entry:sub(2)) end
  end
  if purged > 0 or #entries < TIMERS_A_CALL then break end
end
for _, tag in ipairs(redis.call('ZRANGE', key.blocked(queue), 0, limit - purged - 1)) do
  local job = head.parse(redis.call('GETRANGE', key.job(queue, tag), 0, head.BYTES))
  blocked.drop(q, tag)
  forget.job(queue, tag, job and job.task_id or '', 'cancelled')
  purged = purged + 1
end
state.count(q, 'cancelled', purged)
state.flush()
return purged
