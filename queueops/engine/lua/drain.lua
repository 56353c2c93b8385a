-- drain: put a step of a queue's waiting jobs off to a later time. The caller repeats it; it is not atomic as a whole.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue   3 at most so many jobs   4 until ms
-- RETURNS number of jobs put off; 0 when none waits that would start before then
-- COST    O(log jobs) a job
-- KEEPS   leased jobs run on; no job is due earlier than it was; a blocked job stays blocked

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/lanes"

local RINGS_A_CALL = 100
local TIMERS_A_CALL = 500

now.set(ARGV[1])
local queue, limit, until_ms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local q = state.queue(queue)
local moved = 0

local function put_off(o, tags)
  for _, tag in ipairs(tags) do lanes.schedule(q, o, tag, until_ms) end
  moved = moved + #tags
end

local function drain_lanes(o)
  for resource in o.lanes:gmatch('(%S*) ') do
    if moved >= limit then return end
    local lane = key.lane(queue, resource, o.name)
    local tags = redis.call('ZRANGE', lane, 0, limit - moved - 1)
    if tags[1] then q.depth = q.depth - redis.call('ZREM', lane, unpack(tags)) end
    put_off(o, tags)
    if redis.call('EXISTS', lane) == 0 then rings.lane_emptied(q, o, resource) end
  end
  if o.lanes == '' then lanes.open(q, o) end -- a closing is only worth remembering for jobs that wait
end

local function drain_scheduled(o)
  local scheduled = key.scheduled(queue, o.name)
  local tags = redis.call('ZRANGEBYSCORE', scheduled, '-inf', '(' .. until_ms, 'LIMIT', 0, limit - moved)
  put_off(o, tags)
  state.count(q, 'scheduled', -#tags) -- they were among the scheduled before
  local due_ms = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')[2]
  if due_ms then
    redis.call('ZADD', key.timers(queue), due_ms, 's' .. o.name)
  else
    redis.call('ZREM', key.timers(queue), 's' .. o.name)
  end
end

local function drain_ring(resource)
  local ring = key.ring(queue, resource)
  for _, org in ipairs(redis.call('ZRANGE', ring, 0, limit - 1)) do
    if moved >= limit then break end
    local o = state.org(q, org)
    drain_lanes(o)
    if not rings.has_lane(o, resource) then redis.call('ZREM', ring, org) end
  end
  if redis.call('EXISTS', ring) == 0 then redis.call('ZREM', key.rings(queue), resource) end
end

local function drain_timers(from, to, kinds) -- orgs that wait for a time, or are closed, and rings that are
  for start = 0, TIMERS_A_CALL * 99, TIMERS_A_CALL do
    local entries = redis.call('ZRANGEBYSCORE', key.timers(queue), from, to, 'LIMIT', start, TIMERS_A_CALL)
    for _, entry in ipairs(entries) do
      local drain = kinds[entry:sub(1, 1)]
      if drain and moved < limit then drain(entry:sub(2)) end
    end
    if moved > 0 or #entries < TIMERS_A_CALL then return end
  end
end

local function scheduled_of(org) drain_scheduled(state.org(q, org)) end
local function lanes_of(org) drain_lanes(state.org(q, org)) end

now.drainable() -- what it puts in it has taken out
--- @include "lib/asides"
asides.into_lanes(q, limit)
for _, resource in ipairs(redis.call('ZRANGE', key.rings(queue), 0, RINGS_A_CALL - 1)) do drain_ring(resource) end
if moved < limit then
  drain_timers('-inf', '(' .. until_ms, { s = scheduled_of, o = lanes_of, r = drain_ring })
end
if moved == 0 then drain_timers(until_ms, '+inf', { o = lanes_of, r = drain_ring }) end
state.flush()
return moved
