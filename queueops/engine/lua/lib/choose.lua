-- Choose: whose turn it is in a queue. The rings are ordered by their heads; the smallest ring's head is the org, its
-- lane's head the job. Heads are read a window at a time; what the claim moves is written back at its end.

--- @include "lib/gates"
--- @include "lib/rings"
--- @include "lib/window"
--- @include "lib/lease"

local choose = {}

choose.LOOKS_A_CALL = 64
choose.ORGS_READ = 64

local function first_lane(q, o) -- of an org with lanes for several resources: the one whose first job ranks first
  local best, best_rank
  for resource in o.lanes:gmatch('(%S*) ') do
    local rank = tonumber(redis.call('ZRANGE', key.lane(q.name, resource, o.name), 0, 0, 'WITHSCORES')[2])
    if rank and (not best or rank < best_rank) then best, best_rank = resource, rank end
  end
  return best
end

local function take(claim, q, o, ring, resource) -- the org's next job; false when there was none after all
  if o.lanes ~= ring.lanes then resource = first_lane(q, o) or resource end
  local lane = key.lane(q.name, resource, o.name)
  local left = q.lane_sizes[lane] or redis.call('ZCARD', lane)
  q.lane_sizes[lane] = left - 1
  local found = redis.call('ZPOPMIN', lane)
  if left <= 1 then rings.lane_emptied(q, o, resource) end
  if not found[1] then return false end
  q.depth = q.depth - 1
  return lease.take(claim, q, o, resource, found[1], found[2])
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
  if not ring then
    ring = window.read(key.ring(q.name, resource), math.max(4, math.min(claim.want - claim.got, choose.ORGS_READ)))
    ring.lanes = resource .. ' ' -- how an org with no other lane names its lanes
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
  local limited = o.limits.any
  if limited and claim.got >= claim.free then return 'held' end -- ahead of a slot it would hold a token or a slot idle
  local took = take(claim, q, o, ring, resource)
  if limited and o.lanes ~= '' then -- closed now it need not be looked at again
    gate, until_ms = gates.org(q, o)
    if gate then rings.close(q, o, gate, until_ms) end
  end
  if o.closed == '' and (o.lanes == ring.lanes or rings.has_lane(o, resource)) then
    window.sink(ring, o.v)
  else
    window.drop(ring)
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
    if none == 'empty' then
      redis.call('ZREM', open.zset, resource)
    else
      left = true
    end
  end
  window.write(open)
  return left
end

function choose.serve(claim, q, open) -- `open`: the first rings; returns whether another worker could take more
  q.open, q.rings, q.lane_sizes = window.over(key.rings(q.name), open, claim.rings_read), {}, {}
  local got, took, left = claim.got, nil, nil
  claim.waited_ms = 0
  repeat
    if q.concurrency and q.n >= q.concurrency then
      left = false -- a freed slot rings
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
