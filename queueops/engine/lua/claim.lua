-- claim: choose the next jobs fairly and lease them to one process.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 holder   3 number of this claim   4 jobs for free slots
--         5 jobs ahead of slots   6 lease ms   7 'lease' | 'forget' (a consumer that does not acknowledge)
--         8... queues in the order in which they are to be served
-- RETURNS {'claimed' | 'empty' | 'more' (stopped at its bound: ask again at once), wait ms for the bell,
--         then 8 a job: token, queue, tag, rank ms, deliveries, claimed ms, 'limited' | '', job string}
-- COST    O(log orgs + log jobs) a job; at most 64 looks without a job, 64 timers, 16 leases reaped
-- KEEPS   one lease a job; no gate exceeded; an org's place moves only by what it was charged

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/gates"
--- @include "lib/timers"
--- @include "lib/expiry"
--- @include "lib/bells"
--- @keys lane ring rings job keeper timers holders

local LOOKS_A_CALL = 64
local REAPED_A_CALL = 16
local KEEPER_MS = 3000
local BELL_MS = 1000 -- the longest an idle worker waits without looking, so that a lost bell costs a second

now.set(ARGV[1])
local holder, number, lease_ms, forgets = ARGV[2], ARGV[3], tonumber(ARGV[6]), ARGV[7] == 'forget'
local free, want = tonumber(ARGV[4]), tonumber(ARGV[4]) + tonumber(ARGV[5])
local answer, got, looks, more, wait_ms = { 'empty', '0' }, 0, 0, false, BELL_MS

local function lease(q, o, resource, tag, rank, job)
  local head = jobs.parse(job)
  local cost = q.by_count and 1 or leases.mean(head.task)
  o.v = o.v + cost / o.limits.weight
  redis.call('ZADD', key.ring(q.name, resource), 'XX', fmt(o.v), o.name)
  gates.take_rate(o)
  got = got + 1
  local token = holder .. '/' .. number .. '/' .. got
  if forgets then
    jobs.forget(q.name, tag, head.task_id)
    leases.work_done(q, o, { counted = 0, charged = cost, resource = resource }, q.by_count and 1 or 0)
  else
    o.n, q.n = o.n + 1, q.n + 1
    leases.write(holder, token, {
      queue = q.name, tag = tag, org = o.name, resource = resource, task = head.task, task_id = head.task_id,
      rank = rank, claimed = now.ms, charged = cost, counted = 0, deliveries = head.deliveries + 1, flags = head.flags,
    })
  end
  local waited = now.ms - (rank - head.patience)
  state.count(q, 'claimed', 1)
  if waited > 0 then state.count(q, 'wait_ms', waited) end
  for _, value in ipairs({ token, q.name, tag, fmt(rank), tostring(head.deliveries + 1), fmt(now.ms), o.limited and 'limited' or '', job }) do
    answer[#answer + 1] = value
  end
end

local function pop(q, o, resource) -- returns true when a job was leased
  local found = redis.call('ZPOPMIN', key.lane(q.name, resource, o.name))
  if redis.call('EXISTS', key.lane(q.name, resource, o.name)) == 0 then rings.lane_emptied(q, o, resource) end
  if #found == 0 then return false end
  q.taken = (q.taken or 0) + 1
  local job = redis.call('GET', key.job(q.name, found[1]))
  if not job then return false end -- its text was deleted by hand
  lease(q, o, resource, found[1], tonumber(found[2]), job)
  return true
end

local function choose(q) -- one step in the queue: 'took', 'looked' or 'empty'
  local open = redis.call('ZRANGE', key.rings(q.name), 0, 1, 'WITHSCORES')
  local resource = open[1]
  if not resource then return 'empty' end
  local head = redis.call('ZRANGE', key.ring(q.name, resource), 0, 0, 'WITHSCORES')
  if #head == 0 then
    redis.call('ZREM', key.rings(q.name), resource)
    return 'looked'
  end
  local score = tonumber(head[2])
  if open[4] and score > tonumber(open[4]) then -- the bound in rings was old: another ring is first
    redis.call('ZADD', key.rings(q.name), fmt(score), resource)
    return 'looked'
  end
  local o = state.org(q, head[1])
  if o.v > score then -- it was charged since, through another ring or a longer run
    redis.call('ZADD', key.ring(q.name, resource), fmt(o.v), o.name)
    return 'looked'
  end
  if o.c ~= '' then
    rings.leave(q, o, resource)
    return 'looked'
  end
  local gate, until_ms = gates.org(q, o)
  if gate then
    rings.close(q, o, resource, gate, until_ms)
    return 'looked'
  end
  if got >= free and o.limited then return 'empty' end -- ahead of a slot it would hold a token or a slot idle
  return pop(q, o, resource) and 'took' or 'looked'
end

local function serve(q)
  if timers.run(q) then more = true end
  while got < want and looks < LOOKS_A_CALL do
    if gates.queue(q) then return end
    local step = choose(q)
    if step == 'empty' then return end
    if step == 'looked' then looks = looks + 1 end
  end
  if got < want then more = true end
end

local function keep_timers(q) -- one idle process wakes for the timers, the others wait for the bell
  local keeper = key.keeper(q.name)
  if redis.call('SET', keeper, holder, 'NX', 'PX', KEEPER_MS) or redis.call('GET', keeper) == holder then
    redis.call('PEXPIRE', keeper, KEEPER_MS)
    local next_timer = redis.call('ZRANGE', key.timers(q.name), 0, 0, 'WITHSCORES')[2]
    if next_timer then wait_ms = math.min(wait_ms, math.max(10, tonumber(next_timer) - now.ms)) end
  end
end

now.drainable()
if expiry.may_reap() then expiry.reap(REAPED_A_CALL) end
for i = 8, #ARGV do
  if got < want then serve(state.queue(ARGV[i])) end
end
if got > 0 and not forgets then redis.call('ZADD', key.holders(), 'GT', fmt(now.ms + lease_ms), holder) end
state.flush()
for i = 8, #ARGV do
  local q = state.queue(ARGV[i])
  rings.mirror_take(q, q.taken or 0)
  if got == 0 and not more then keep_timers(q) end
  -- What this claim left behind is for the next idle worker; only an empty ring leaves the bell silent.
  if got >= want or more then q.bell = true end
end
bells.ring_all()
answer[1] = more and 'more' or got > 0 and 'claimed' or 'empty'
answer[2] = fmt(math.ceil(wait_ms))
return answer
