-- State of queues and orgs, read once a script and written back once by flush().
-- A table here is the truth while the script runs: nothing else may write these hashes.


local state = {
  queues = {}, resources = {},
  also = {}, -- settings of a queue that only this script needs
  unsent = {}, -- functions of other parts that hold writes back until flush()
}

state.IDLE_KEPT_MS = 600000          -- an org's own time and rate outlive it, or leaving and coming back would pay
state.AHEAD_KEPT_MS = 24 * 3600000   -- an org far ahead of its queue is remembered longer, at most so long

function state.queue(name)
  local q = state.queues[name]
  if q then return q end
  local s = redis.call('HMGET', key.queue(name), 'V', 'W', 'A', 'n', 'o', 'slots', 'wake', 'keeper')
  local g = redis.call('HMGET', key.gates(name), 'concurrency', 'fair_by', 'deliveries', 'exempt', 'orgs', '!', '=',
    'tasks', 'ramp', 'listen', unpack(state.also))
  q = {
    name = name, orgs = {}, counts = {}, depth = 0, bell = false, was = s, known = s[3], -- A: it has had a ready job
    V = tonumber(s[1]) or 0, W = tonumber(s[2]) or 0, A = tonumber(s[3]) or 0, n = tonumber(s[4]) or 0,
    waiting = tonumber(s[5]) or 0, slots = tonumber(s[6]) or 0, wake_ms = tonumber(s[7]) or 0, keeper = s[8] or '',
    concurrency = tonumber(g[1]), by_count = g[2] == 'count', deliveries = tonumber(g[3]) or 3,
    exempt = g[4], has_orgs = g[5], pause = g[6], default = g[7],
    has_tasks = g[8], also = g, -- from the eleventh on what state.also asks for
  }
  if g[9] then
    --- @include "lib/ramp"
    ramp(q, g[9])
  end
  -- A queue that is new to the broker was not there yet when somebody began to listen to all.
  local listened = g[10] or not s[3] and redis.call('GET', key.listening())
  if listened then
    --- @include "lib/events"
    events.follow(q, listened)
  end
  state.queues[name] = q
  return q
end

function state.org(q, name)
  local o = q.orgs[name]
  if o then return o end
  local was = redis.call('HMGET', key.org(q.name, name), 'v', 'n', 'a', 'l', 'c', 't', 'own')
  o = {
    name = name, was = was, v = tonumber(was[1]) or 0, n = tonumber(was[2]) or 0, a = tonumber(was[3]) or 0,
    lanes = was[4] or '', closed = was[5] or '', t = tonumber(was[6]) or 0,
    own = was[7], -- whether it has settings of its own: '1' | '0' | false (not looked yet)
  }
  q.orgs[name] = o
  return o
end

function state.resource_rules() -- lib/resources, put together once and only in a script that meets a resource
  if not state.rules_of_resources then
    --- @include "lib/resources"
    state.rules_of_resources = resources
  end
  return state.rules_of_resources
end

function state.count(q, field, number)
  q.counts[field] = (q.counts[field] or 0) + number
end

function state.weight(q, o) -- the weight that counts in W; an org that is not active has none yet
  if not o.limits then
    if o.a > 0 then return o.a end
    if not state.limits_of then
      --- @include "lib/limits"
      state.limits_of = limits.of
    end
    state.limits_of(q, o)
  end
  return o.limits.weight
end

local function sum_of(n, lanes, closed) -- where an active org's weight counts: '' the queue's sum; nil when not active
  if n > 0 then return '' end
  if lanes == '' or closed ~= '' then return nil end
  -- With no lane but a resource's it is active while that is open: its weight goes and comes back with the ring.
  return lanes:match('^(%S+) $') or ''
end

local function count_active(q, where, weight, number)
  if where == '' then
    q.W, q.A = q.W + weight, q.A + number
  else
    state.resource_rules().count(q, where, weight, number)
  end
end

local function save_org(q, o)
  local was = o.was
  local lanes, closed, t, a = was[4] or '', was[5] or '', tonumber(was[6]) or 0, 0
  local before, after = sum_of(tonumber(was[2]) or 0, lanes, closed), sum_of(o.n, o.lanes, o.closed)
  if after then a = state.weight(q, o) end
  if before == after then
    if a ~= o.a then count_active(q, after, a - o.a, 0) end
  else
    if before then count_active(q, before, -o.a, -1) end
    if after then count_active(q, after, a, 1) end
  end
  q.waiting = q.waiting + (o.lanes ~= '' and 1 or 0) - (lanes ~= '' and 1 or 0)
  local hash = key.org(q.name, o.name)
  if was[1] and o.own and o.own ~= was[7] then redis.call('HSET', hash, 'own', o.own) end
  if a ~= o.a or o.lanes ~= lanes or o.closed ~= closed or o.t ~= t then
    redis.call('HSET', hash, 'v', o.v, 'n', o.n, 'a', a, 'l', o.lanes, 'c', o.closed, 't', o.t)
  elseif o.v ~= (tonumber(was[1]) or 0) or o.n ~= (tonumber(was[2]) or 0) then
    redis.call('HSET', hash, 'v', o.v, 'n', o.n)
  else
    return
  end
  if a == 0 and o.lanes == '' then
    local ahead_ms = math.min(math.max(0, o.v - q.V), state.AHEAD_KEPT_MS)
    local rate_ms = o.t / 1000 - now.ms
    redis.call('PEXPIRE', hash, math.ceil(math.max(state.IDLE_KEPT_MS, rate_ms, ahead_ms)))
  elseif was[1] and o.a == 0 and lanes == '' then
    redis.call('PERSIST', hash)
  end
end

local function save_queue(q)
  local hash, was = key.queue(q.name), q.was
  if q.A <= 0 then q.A, q.W = 0, 0 end -- rounding must not pile up
  if q.V ~= (tonumber(was[1]) or 0) or q.W ~= (tonumber(was[2]) or 0) or q.n ~= (tonumber(was[4]) or 0)
    or q.waiting ~= (tonumber(was[5]) or 0) then
    redis.call('HSET', hash, 'V', q.V, 'W', q.W, 'A', q.A, 'n', q.n, 'o', q.waiting)
  end
  if q.wake_ms ~= (tonumber(was[7]) or 0) or q.keeper ~= (was[8] or '') then
    redis.call('HSET', hash, 'wake', q.wake_ms, 'keeper', q.keeper)
  end
  for field, number in pairs(q.counts) do
    number = math.floor(number + 0.5) -- run times have fractions
    if number ~= 0 then redis.call('HINCRBY', hash, field, number) end
  end
  -- The depth mirror grows and shrinks on the right, where stock Celery never pushes; an element of its is not touched.
  if q.depth < 0 then redis.call('LREM', key.depth(q.name), q.depth, '') end
  if q.depth > 0 then
    local empty = {}
    for i = 1, q.depth do empty[i] = '' end
    redis.call('RPUSH', key.depth(q.name), unpack(empty))
  end
end

function state.flush()
  for _, send in ipairs(state.unsent) do send() end
  for _, q in pairs(state.queues) do
    for _, o in pairs(q.orgs) do save_org(q, o) end
  end
  if state.save_resources then state.save_resources() end
  for _, q in pairs(state.queues) do save_queue(q) end
end
