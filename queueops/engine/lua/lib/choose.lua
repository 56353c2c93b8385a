-- Choose: whose turn it is in a queue. The rings are ordered by their heads; the smallest ring's head is the org, its
-- lane's head the job. Heads are read a window at a time; what the claim moves is written back at its end.

--- @include "lib/gates"
--- @include "lib/rings"
--- @include "lib/window"
--- @include "lib/lease"

local choose = {}

choose.LOOKS_A_CALL = 64
choose.ORGS_READ = 64
choose.RAMP_STEP_MS = 1000

local function is_open(resource)
  if resource == '' then return true end
  local rules = state.resource_rules()
  return not rules.gate(rules.of(resource))
end

local function first_lane(q, o) -- of an org with lanes for several resources: the open one whose first job ranks first
  local best, best_rank
  for resource in o.lanes:gmatch('(%S*) ') do
    local rank = tonumber(redis.call('ZRANGE', key.lane(q.name, resource, o.name), 0, 0, 'WITHSCORES')[2])
    if rank and (not best or rank < best_rank) and is_open(resource) then best, best_rank = resource, rank end
  end
  return best
end

local function take(claim, q, o, resource, limited) -- the lane's next job; false when there was none after all
  local lane = key.lane(q.name, resource, o.name)
  local left = q.lane_sizes[lane] or redis.call('ZCARD', lane)
  q.lane_sizes[lane] = left - 1
  local found = redis.call('ZPOPMIN', lane)
  if left <= 1 then rings.lane_emptied(q, o, resource) end
  if not found[1] then return false end
  q.depth = q.depth - 1
  return lease.take(claim, q, o, resource, found[1], found[2], limited)
end

local function close_resource(q, resource) -- returns whether a gate of it is closed; its ring is then out of the queue
  local rules = state.resource_rules()
  local r = rules.of(resource)
  local gate, until_ms = rules.gate(r)
  if not gate then return false end
  rules.close(q, r, until_ms)
  return true
end

local function next_ring(claim, q) -- the ring whose head is first, and its resource; or nil and what step() answers
  local open = q.open
  local resource, none = window.head(open)
  if not resource then
    if none == 'empty' then return nil, 'empty' end
    window.write(open)
    q.open = window.read(open.zset, claim.rings_read)
    return nil, 'looked'
  end
  local ring = q.rings[resource]
  if resource ~= '' and close_resource(q, resource) then
    if ring then ring.out = true end
    window.drop(open)
    return nil, 'looked'
  end
  if not ring then
    ring = window.read(key.ring(q.name, resource), math.max(4, math.min(claim.want - claim.got, choose.ORGS_READ)))
    ring.lanes = resource .. ' ' -- how an org with no other lane names its lanes
    if resource ~= '' then
      local rules = state.resource_rules()
      ring.floor = rules.floor(q, rules.of(resource))
    end
    q.rings[resource] = ring
  end
  local org, score = window.head(ring)
  if not org then
    if score == 'more' then
      window.write(ring)
      q.rings[resource] = nil
    else
      redis.call('ZREM', open.zset, resource)
      window.drop(open)
    end
    return nil, 'looked'
  end
  if ring.floor and score < ring.floor then score = ring.floor end
  if score > (open.scores[open.first + 1] or open.bound) then -- the bound in rings was old: another ring is first
    window.sink(open, score)
    return nil, 'turned'
  end
  return ring, resource
end

local function step(claim, q) -- 'took', 'looked', 'turned', 'held' or 'empty'
  local ring, resource = next_ring(claim, q)
  if not ring then return resource end
  local org, score = window.head(ring)
  local o = state.org(q, org)
  if o.closed ~= '' or o.lanes ~= ring.lanes and not rings.has_lane(o, resource) then -- by a turn of another ring
    window.drop(ring)
    return 'looked'
  end
  if ring.floor and score < ring.floor then -- it waited while the ring was out, and brings no credit along
    score = ring.floor
    o.v = math.max(o.v, score)
  end
  if o.v > score then -- it was charged since, through another ring or a longer run
    window.sink(ring, o.v)
    return 'looked'
  end
  local gate, until_ms = gates.org(q, o)
  if gate then
    rings.close(q, o, gate, until_ms)
    window.drop(ring)
    return 'looked'
  end
  local lane = o.lanes ~= ring.lanes and first_lane(q, o) or resource
  local limited, shared = gates.is_near(q, o), false
  if lane ~= '' then
    local rules = state.resource_rules()
    shared = rules.is_near(rules.of(lane), gates.PARTS)
  end
  -- Ahead of a slot it would hold a token or a slot idle that others could use.
  if (limited or shared) and claim.got >= claim.free then return 'held' end
  local took = take(claim, q, o, lane, limited or shared)
  if limited and o.lanes ~= '' then -- closed now it need not be looked at again
    gate, until_ms = gates.org(q, o)
    if gate then rings.close(q, o, gate, until_ms) end
  end
  if o.closed == '' and (o.lanes == ring.lanes or rings.has_lane(o, resource)) then
    window.sink(ring, o.v)
  else
    window.drop(ring)
  end
  if shared and lane == resource and close_resource(q, resource) then
    ring.out = true
    window.drop(q.open)
  end
  return took and 'took' or 'looked'
end

local function any_left(q) -- writes the places that were moved; returns whether a ring is open
  local open, left = q.open, q.open.bound < math.huge
  for i = open.first, open.last do
    if not q.rings[open.names[i]] then left = true end
  end
  for resource, ring in pairs(q.rings) do
    window.write(ring)
    local _, none = window.head(ring)
    if ring.out then
      -- Taken out already: nobody could claim from it.
    elseif none == 'empty' then
      redis.call('ZREM', open.zset, resource)
    else
      left = true
    end
  end
  window.write(open)
  return left
end

local function ramp_on(q) -- the next step of a queue that is resumed gradually
  local at_ms = now.ms + choose.RAMP_STEP_MS
  redis.call('ZADD', key.timers(q.name), 'LT', at_ms, '!')
  bells.note_timer(q, at_ms)
end

function choose.serve(claim, q, open) -- `open`: the first rings; returns whether another worker could take more
  q.open, q.rings, q.lane_sizes = window.over(key.rings(q.name), open, claim.rings_read), {}, {}
  local got, took, left = claim.got, nil, nil
  claim.waited_ms = 0
  repeat
    if q.concurrency and q.n >= q.concurrency then
      left = false -- a freed slot rings
      if q.ramping then ramp_on(q) end
    elseif claim.got >= claim.want then
      left = true
    elseif claim.looks >= choose.LOOKS_A_CALL then
      left, claim.more = true, true
    else
      took = step(claim, q)
      if took == 'looked' then claim.looks = claim.looks + 1 end
      if took == 'empty' then left = false elseif took == 'held' then left = true end
    end
  until left ~= nil
  left = any_left(q) and left
  if claim.got > got then
    state.count(q, 'claimed', claim.got - got)
    state.count(q, 'wait_ms', claim.waited_ms)
  end
  return left
end
