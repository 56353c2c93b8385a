-- doctor: compare the numbers of a queue with what they count, and on request set them right.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 'check' | 'repair'   3 queue   4 'all' | 'some' (the given orgs, and no sums)
--         5 number of processes   6 number of tasks   then names of processes that have leases, tasks with jobs put
--         aside, and orgs to look at besides those that the queue knows, as 'org' or 'org TAB resource'
-- RETURNS number of orgs looked at, then 4 a finding: kind, of what, as it should be, as it is; -1 alone: too many orgs
-- COST    O(orgs + leases), some 20 us an org; at most 20,000
-- KEEPS   no job moves; all of it is seen at one moment, so a busy queue shows no difference that is none

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/limits"
--- @include "lib/bells"
--- @include "lib/record"

local ORGS_A_CALL = 20000

now.set(ARGV[1])
local repair, queue, all, processes, tasks = ARGV[2] == 'repair', ARGV[3], ARGV[4] == 'all', tonumber(ARGV[5]), tonumber(ARGV[6])
local q = state.queue(queue)
local out, changed = { 0 }, false
local orgs, number = {}, 0  -- name -> resources that may have a lane
local in_flight = {} -- by org
local sums = { leases = 0, depth = 0, scheduled = 0, waiting = 0, W = 0, A = 0 }

local function text(value) return type(value) == 'number' and string.format('%.14g', value) or value or '' end

local function differs(kind, what, wanted, found) -- notes a difference; returns whether to mend it
  local n = #out
  out[n + 1], out[n + 2], out[n + 3], out[n + 4] = kind, what, text(wanted), text(found)
  if repair then changed = true end
  return repair
end

local function look_at(org, resource)
  if not orgs[org] then orgs[org], number = {}, number + 1 end
  if resource then orgs[org][resource] = true end
end

local function count_leases()
  local seen = {}
  local function count(holder)
    if seen[holder] then return end
    seen[holder] = true
    for _, line in ipairs(redis.call('HVALS', key.held(holder))) do
      local l = record.read(line)
      if l.queue == queue then
        sums.leases, in_flight[l.org] = sums.leases + 1, (in_flight[l.org] or 0) + 1
        if all then look_at(l.org) end
      end
    end
  end
  for _, holder in ipairs(redis.call('ZRANGE', key.holders(), 0, -1)) do count(holder) end
  for i = 7, 6 + processes do count(ARGV[i]) end
end

local function reachable_orgs() -- those that the queue can reach
  local known = {} -- resources whose ring may hold somebody
  for _, resource in ipairs(redis.call('ZRANGE', key.rings(queue), 0, -1)) do known[resource] = true end
  for _, entry in ipairs(redis.call('ZRANGE', key.timers(queue), 0, -1)) do
    local kind, name = entry:sub(1, 1), entry:sub(2)
    if kind == 'o' or kind == 's' then look_at(name) elseif kind == 'r' then known[name] = true end
  end
  for resource in pairs(known) do
    for _, org in ipairs(redis.call('ZRANGE', key.ring(queue, resource), 0, -1)) do look_at(org, resource) end
  end
end

local function given_orgs() -- those that only the caller has found
  for i = 7 + processes + tasks, #ARGV do
    local org, resource = ARGV[i]:match('^([^\t]*)\t?(.*)$')
    look_at(org, ARGV[i]:find('\t', 1, true) and resource or nil)
  end
end

local of_resource = {} -- weight and number of the orgs that are active for one resource alone
local function rules_of(resource) return state.resource_rules().of(resource) end
local function is_out(resource) -- a gate of the resource holds its ring
  return resource ~= '' and state.resource_rules().is_closed(q, rules_of(resource))
end

local function sum_active(o, weight) -- as in lib/state
  local alone = o.n == 0 and o.lanes:match('^(%S+) $')
  local sum = sums
  if alone then
    of_resource[alone] = of_resource[alone] or { W = 0, A = 0 }
    sum = of_resource[alone]
  end
  sum.W, sum.A = sum.W + weight, sum.A + 1
end

local function check_lanes(o, may_have) -- the lanes that are there against what the org knows of them
  for resource in o.lanes:gmatch('(%S*) ') do may_have[resource] = true end
  local lanes, named, new = '', {}, ''
  for resource in pairs(may_have) do
    local size = redis.call('ZCARD', key.lane(queue, resource, o.name))
    sums.depth = sums.depth + size
    if size > 0 then named[resource] = true end
  end
  for resource in o.lanes:gmatch('(%S*) ') do
    if named[resource] then lanes = lanes .. resource .. ' ' end
  end
  for resource in pairs(named) do
    if not (' ' .. o.lanes):find(' ' .. resource .. ' ', 1, true) then new = new .. resource .. ' ' end
  end
  if lanes .. new ~= o.lanes then differs('lanes of an org', o.name, lanes .. new, o.lanes) end
  o.lanes = lanes .. new
  return may_have
end

local function check_rings(o, may_have)
  for resource in pairs(may_have) do
    local ring = key.ring(queue, resource)
    local place = redis.call('ZSCORE', ring, o.name)
    local should = o.closed == '' and (' ' .. o.lanes):find(' ' .. resource .. ' ', 1, true) ~= nil
    if should ~= (place ~= false) and differs('place in a ring', o.name .. ' ' .. resource, should and 'in' or 'out',
      place and 'in' or 'out') then
      if should then
        o.v = math.max(o.v, q.V)
        redis.call('ZADD', ring, o.v, o.name)
      else
        redis.call('ZREM', ring, o.name)
      end
    end
  end
end

local function check_org(name, may_have)
  local o = state.org(q, name)
  local hash, slots, before = key.org(queue, name), in_flight[name] or 0, #out
  may_have = check_lanes(o, may_have)
  if o.n ~= slots then differs('slots of an org', name, slots, o.n) end
  o.n = slots
  if o.closed ~= '' and o.lanes == '' then
    differs('closing of an org without jobs', name, '', o.closed)
    o.closed = ''
  elseif o.closed ~= '' and not redis.call('ZSCORE', key.timers(queue), 'o' .. name) then
    if differs('end of a closing', name, 'a time', '') then redis.call('ZADD', key.timers(queue), now.ms, 'o' .. name) end
  end
  check_rings(o, may_have)
  local active = o.n > 0 or (o.lanes ~= '' and o.closed == '')
  local weight = active and (o.a > 0 and o.a or limits.of(q, o).weight) or 0
  if weight ~= o.a then differs('weight of an org', name, weight, o.a) end
  if active then sum_active(o, weight) end
  if o.lanes ~= '' then sums.waiting = sums.waiting + 1 end
  if repair and #out > before then
    redis.call('HSET', hash, 'v', o.v, 'n', o.n, 'a', weight, 'l', o.lanes, 'c', o.closed, 't', o.t)
    if active or o.lanes ~= '' then redis.call('PERSIST', hash) end
  end
  local scheduled = redis.call('ZCARD', key.scheduled(queue, name))
  sums.scheduled = sums.scheduled + scheduled
  if scheduled > 0 then
    local due_ms = tonumber(redis.call('ZRANGE', key.scheduled(queue, name), 0, 0, 'WITHSCORES')[2])
    local timer = tonumber(redis.call('ZSCORE', key.timers(queue), 's' .. name))
    if (not timer or timer > math.max(due_ms, now.ms)) and differs('wake-up of scheduled jobs', name, due_ms, timer) then
      redis.call('ZADD', key.timers(queue), due_ms, 's' .. name)
    end
  end
end

local function check_sum(resource, field, wanted) -- of the orgs that are active for it alone
  local found = tonumber(rules_of(resource).was[field .. ':' .. queue]) or 0
  if math.abs(found - wanted) > 1e-6 * math.max(1, wanted) and differs('active orgs of a resource', resource, wanted, found) then
    redis.call('HSET', key.resource(resource), field .. ':' .. queue, wanted)
  end
end

local function check_ring(resource) -- with somebody in it it is among the open ones, by a bound of its head
  local head = tonumber(redis.call('ZRANGE', key.ring(queue, resource), 0, 0, 'WITHSCORES')[2])
  local bound = tonumber(redis.call('ZSCORE', key.rings(queue), resource))
  local alone = of_resource[resource] or { W = 0, A = 0 }
  if resource ~= '' and all then
    check_sum(resource, 'W', alone.W)
    check_sum(resource, 'A', alone.A)
  end
  if is_out(resource) then
    if not redis.call('ZSCORE', key.timers(queue), 'r' .. resource) and differs("end of a resource's closing", resource,
      'a time', '') then
      redis.call('ZADD', key.timers(queue), now.ms, 'r' .. resource)
    end
    return
  end
  sums.W, sums.A = sums.W + alone.W, sums.A + alone.A
  local most = head and math.max(head, resource ~= '' and state.resource_rules().floor(q, rules_of(resource)) or head)
  if head and (not bound or bound > most + 1e-6) and differs('open ring', resource, head, bound or 'none') then
    redis.call('ZADD', key.rings(queue), head, resource)
  end
end

local function check_all_rings()
  local seen = {}
  for _, may_have in pairs(orgs) do
    for resource in pairs(may_have) do
      if not seen[resource] then check_ring(resource) end
      seen[resource] = true
    end
  end
end

local function foreign() -- elements of stock Celery stand on the left of the list
  for start = 0, FOREIGN_LOOKED_AT - 1, 100 do
    for i, element in ipairs(redis.call('LRANGE', key.depth(queue), start, start + 99)) do
      if element == '' then return start + i - 1 end
    end
  end
  return redis.call('LLEN', key.depth(queue))
end

local function check_total(kind, field, wanted)
  local found = tonumber(redis.call('HGET', key.queue(queue), field)) or 0
  -- Sums of fractions are off by their rounding.
  if math.abs(found - wanted) > 1e-6 * math.max(1, math.abs(wanted)) and differs(kind, queue, wanted, found) then
    redis.call('HSET', key.queue(queue), field, wanted)
  end
end

if repair then now.drainable() end
count_leases()
if all then reachable_orgs() end
given_orgs()
if number > ORGS_A_CALL then return { -1 } end
out[1] = number
for name, may_have in pairs(orgs) do check_org(name, may_have) end
check_all_rings()
if changed then bells.ring(queue) end
if not all then return out end
--- @include "lib/totals"
local asides = {}
for i = 7 + processes, 6 + processes + tasks do asides[#asides + 1] = ARGV[i] end
totals.check_asides(q, sums, asides, differs)
totals.check(q, sums, differs)
if changed then bells.ring(queue) end
return out
