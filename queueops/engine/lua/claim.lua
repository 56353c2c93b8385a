-- claim: choose the next jobs fairly and lease them to one process.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 holder   3 number of this claim   4 jobs for free slots
--         5 jobs ahead of slots   6 lease ms   7 'lease' | 'forget' (a consumer that does not acknowledge)
--         8... queues in the order in which they are to be served
-- RETURNS {'claimed' | 'empty' | 'more' (stopped at its bound: ask again at once), wait ms for the bell,
--         then 8 a job: token, queue, tag, rank ms, deliveries, claimed ms, 'limited' | '', job string}
-- COST    O(log orgs + log jobs) a job; at most 500 jobs, 64 looks without a job, 64 timers, 16 leases reaped
-- KEEPS   one lease a job; no gate exceeded; an org's place moves only by what it was charged

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/gates"
--- @include "lib/rings"
--- @include "lib/window"
--- @include "lib/record"
--- @include "lib/means"
--- @include "lib/head"

local JOBS_A_CALL = 500
local LOOKS_A_CALL = 64
local REAPED_A_CALL = 16
local TIMERS_A_CALL = 64
local RINGS_READ = 8
local ORGS_READ = 64

now.set(ARGV[1])
local holder, number, lease_ms, forgets = ARGV[2], ARGV[3], tonumber(ARGV[6]), ARGV[7] == 'forget'
local free, want = tonumber(ARGV[4]), math.min(ARGV[4] + ARGV[5], JOBS_A_CALL)
local answer, at, got, looks, more = { 'empty', bells.IDLE_MS }, 2, 0, 0, false
local leased = {} -- token, record, ...: one write for all
local served = {} -- queues that had their turn
local end_now -- for a consumer that does not acknowledge: ends a job at its claim

local function unreadable(q, tag, token) -- rare, so its parts are put together only here
  --- @include "lib/bury"
  bury(q, token, tag, '', 1, cjson.encode({ reason = 'undecodable', error = 'UnreadableHead',
    message = 'The head line of the job could not be read.' }))
end

local function lease(q, o, resource, tag, rank, job) -- false when the job can not be read
  local token = holder .. '/' .. number .. '/' .. (got + 1)
  local deliveries, task, task_id, patience, flags, first = head.for_lease(job)
  if not deliveries then
    unreadable(q, tag, token)
    return false
  end
  got = got + 1
  deliveries = deliveries + 1
  local cost = q.by_count and 1 or means.of(task)
  local limits = o.limits
  local charged = cost / limits.weight
  o.v = o.v + charged
  if limits.interval then o.t = math.max(o.t, now.ms * 1000) + limits.interval end
  if forgets then
    end_now(q, tag, task_id, cost)
  else
    o.n, q.n = o.n + 1, q.n + 1
    leased[2 * got - 1] = token
    leased[2 * got] = record.write(q.name, tag, o.name, resource, task, task_id, rank, now.ms, charged, 0, deliveries, flags)
  end
  q.taken, q.waited = q.taken + 1, q.waited + math.max(0, now.ms - head.ready_since(rank, patience, first))
  answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4] = token, q.name, tag, rank
  answer[at + 5], answer[at + 6], answer[at + 7] = deliveries, now.ms, limits.any and 'limited' or ''
  answer[at + 8] = job
  at = at + 8
  return true
end

local function first_lane(q, o) -- of an org with lanes for several resources: the one whose first job ranks first
  local best, best_rank
  for resource in o.lanes:gmatch('(%S*) ') do
    local rank = tonumber(redis.call('ZRANGE', key.lane(q.name, resource, o.name), 0, 0, 'WITHSCORES')[2])
    if rank and (not best or rank < best_rank) then best, best_rank = resource, rank end
  end
  return best
end

local function take(q, o, resource) -- the org's next job; false when there was none after all
  if o.lanes ~= resource .. ' ' then resource = first_lane(q, o) or resource end
  local lane = key.lane(q.name, resource, o.name)
  local found = redis.call('ZPOPMIN', lane)
  if redis.call('EXISTS', lane) == 0 then rings.lane_emptied(q, o, resource) end
  if not found[1] then return false end
  q.depth = q.depth - 1
  local job = redis.call('GET', key.job(q.name, found[1]))
  if not job then return false end -- its text was deleted by hand
  return lease(q, o, resource, found[1], tonumber(found[2]), job)
end

local function next_ring(q) -- the ring whose head is first, and its resource; or nil and what choose() answers
  local open = q.open
  local resource, bound = window.head(open)
  if not resource then
    if bound == 'none' then return nil, 'empty' end
    window.write(open)
    q.open = window.read(key.rings(q.name), RINGS_READ)
    return nil, 'looked'
  end
  local ring = q.rings[resource]
  if not ring then
    ring = window.read(key.ring(q.name, resource), math.max(4, math.min(want - got, ORGS_READ)))
    q.rings[resource] = ring
  end
  local org, score = window.head(ring)
  if not org then
    if score == 'more' then
      window.write(ring)
      q.rings[resource] = nil
    else
      redis.call('ZREM', key.rings(q.name), resource)
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

local function choose(q) -- one step in the queue: 'took', 'looked', 'turned', 'held' or 'empty'
  local ring, resource = next_ring(q)
  if not ring then return resource end
  local org, score = window.head(ring)
  local o = state.org(q, org)
  if o.closed ~= '' or not rings.has_lane(o, resource) then -- by a turn of another ring
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
  if got >= free and o.limits.any then return 'held' end -- ahead of a slot it would hold a token or a slot idle
  local took = take(q, o, resource)
  if o.limits.any and o.lanes ~= '' then -- closed now it need not be looked at again
    gate, until_ms = gates.org(q, o)
    if gate then rings.close(q, o, gate, until_ms) end
  end
  if o.closed == '' and rings.has_lane(o, resource) then
    window.sink(ring, o.v)
  else
    window.drop(ring)
  end
  return took and 'took' or 'looked'
end

local function serve(q) -- returns whether work may be left that another worker could take
  local due = redis.call('ZRANGEBYSCORE', key.timers(q.name), '-inf', now.ms, 'LIMIT', 0, TIMERS_A_CALL)
  if due[1] then
    --- @include "lib/timers"
    if timers.run(q, due) or #due == TIMERS_A_CALL then more = true end
  end
  if gates.paused_until(q.pause) then return false end
  q.open, q.rings, q.taken, q.waited = window.read(key.rings(q.name), RINGS_READ), {}, 0, 0
  local left
  while left == nil do
    if q.concurrency and q.n >= q.concurrency then
      left = false -- a freed slot rings
    elseif got >= want then
      left = true
    elseif looks >= LOOKS_A_CALL then
      left, more = true, true
    else
      local step = choose(q)
      if step == 'looked' then looks = looks + 1 end
      if step == 'empty' then left = false elseif step == 'held' then left = true end
    end
  end
  for resource, ring in pairs(q.rings) do
    window.write(ring)
    local _, rest = window.head(ring)
    if rest == 'none' then redis.call('ZREM', key.rings(q.name), resource) end
  end
  window.write(q.open)
  state.count(q, 'claimed', q.taken)
  state.count(q, 'wait_ms', q.waited)
  return left
end

local function keep_timers(q) -- one idle process wakes for the timers, the others wait for the bell
  local timer = tonumber(redis.call('ZRANGE', key.timers(q.name), 0, 0, 'WITHSCORES')[2])
  if got > 0 then -- whoever got work may not wake in time
    if timer then bells.note_timer(q, timer) end
    q.wake_ms, q.keeper = 0, ''
  elseif timer and timer < now.ms + bells.IDLE_MS then
    local wake_ms = math.max(timer, now.ms + bells.NEAREST_MS)
    if q.keeper ~= holder and bells.is_kept(q, wake_ms) then return end
    q.wake_ms, q.keeper = wake_ms, holder
    answer[2] = math.min(answer[2], wake_ms - now.ms)
  elseif q.keeper == holder then -- the timer is gone, and with it the promise
    q.wake_ms, q.keeper = 0, ''
  end
end

now.drainable()
if forgets then
  --- @include "lib/forget"
  --- @include "lib/fairness"
  end_now = function(q, tag, task_id, cost)
    forget.job(q.name, tag, task_id)
    fairness.work_done(q, { counted = 0 }, cost)
    state.count(q, 'succeeded', 1)
  end
end
if redis.call('ZRANGEBYSCORE', key.holders(), '-inf', now.ms, 'LIMIT', 0, 1)[1] then
  --- @include "lib/expiry"
  if expiry.may_reap() then expiry.reap(REAPED_A_CALL) end
end
for i = 8, #ARGV do
  if got < want then
    local q = state.queue(ARGV[i])
    q.bell = serve(q)
    served[ARGV[i]] = true
  end
end
if leased[1] then
  redis.call('HSET', key.held(holder), unpack(leased))
  redis.call('ZADD', key.holders(), 'GT', now.ms + lease_ms, holder)
end
for i = 8, #ARGV do
  local queue = ARGV[i]
  if served[queue] then
    local q = state.queue(queue)
    if got == 0 and not more or q.keeper == holder then keep_timers(q) end
  elseif redis.call('EXISTS', key.rings(queue)) == 1 then
    bells.ring(queue) -- the worker was full before the queue's turn came
  end
end
state.flush()
if got == JOBS_A_CALL and want < ARGV[4] + ARGV[5] then more = true end
answer[1] = more and 'more' or got > 0 and 'claimed' or 'empty'
return answer
