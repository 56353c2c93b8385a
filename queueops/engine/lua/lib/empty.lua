-- Empty: goes through the places where jobs of a queue wait, until a script has taken out as many as it may. Its `taker`
-- has lanes(o) and scheduled(o), which take jobs of one org out, and full(), which says when to stop.

--- @include "lib/lanes"
--- @include "lib/asides"

local empty = { RINGS_A_CALL = 100, TIMERS_A_CALL = 500, TIMERS_READ = 50000 }

local function ring_of(q, taker, resource, limit)
  local ring = key.ring(q.name, resource)
  for _, org in ipairs(redis.call('ZRANGE', ring, 0, limit - 1)) do
    if taker.full() then break end
    local o = state.org(q, org)
    taker.lanes(o)
    if not rings.has_lane(o, resource) then redis.call('ZREM', ring, org) end
  end
  if redis.call('EXISTS', ring) == 0 then redis.call('ZREM', key.rings(q.name), resource) end
end

function empty.lane(q, o, resource) -- after some of its jobs were taken
  if redis.call('EXISTS', key.lane(q.name, resource, o.name)) == 0 then rings.lane_emptied(q, o, resource) end
  if o.lanes == '' then lanes.open(q, o) end -- a closing is only worth remembering for jobs that wait
end

function empty.rings(q, taker, limit) -- the open ones, and the jobs of paused tasks
  asides.into_lanes(q, limit)
  for _, resource in ipairs(redis.call('ZRANGE', key.rings(q.name), 0, empty.RINGS_A_CALL - 1)) do
    ring_of(q, taker, resource, limit)
  end
end

function empty.timers(q, taker, limit, from, to) -- orgs that wait for a time or are closed, and rings that are
  local read, found, entries = 0, taker.number, nil
  repeat
    entries = redis.call('ZRANGEBYSCORE', key.timers(q.name), from, to, 'LIMIT', read, empty.TIMERS_A_CALL)
    read = read + #entries
    for _, entry in ipairs(entries) do
      local kind, name = entry:sub(1, 1), entry:sub(2)
      if taker.full() then return end
      if kind == 's' and taker.scheduled then
        taker.scheduled(state.org(q, name))
      elseif kind == 'o' then
        taker.lanes(state.org(q, name))
      elseif kind == 'r' then
        ring_of(q, taker, name, limit)
      end
    end
  until taker.number > found or #entries < empty.TIMERS_A_CALL or read >= empty.TIMERS_READ
end
