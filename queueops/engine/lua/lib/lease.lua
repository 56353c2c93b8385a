-- Lease: what happens to a job at its claim.

--- @include "lib/record"
--- @include "lib/means"
--- @include "lib/head"

local lease = {}

local function bury_unclaimed(claim, q, tag, task_id, deliveries, reason, error, message) -- rare, so put together only here
  --- @include "lib/bury"
  claim.buried = (claim.buried or 0) + 1
  local token = claim.token .. 'd' .. claim.buried -- of no lease; each letter has one of its own
  bury(q, token, tag, task_id, deliveries, cjson.encode({ reason = reason, error = error, message = message }))
end

local function is_late(claim, q, text, tag) -- a job that must not run late dies when its turn comes after its deadline
  local job = head.parse(text)
  if job.deadline == 0 or job.deadline >= now.ms then return false end
  bury_unclaimed(claim, q, tag, job.task_id, job.deliveries, 'expired', 'DeadlinePassed',
    string.format('Its deadline had passed %.1f s ago when its turn came.', (now.ms - job.deadline) / 1000))
  return true
end

local function end_now(claim, q, tag, task_id, cost) -- for a consumer that does not acknowledge
  if not claim.end_job then
    --- @include "lib/forget"
    --- @include "lib/fairness"
    claim.end_job, claim.work_done = forget.job, fairness.work_done
  end
  if q.tell then q.tell_of('succeeded', tag) end
  claim.end_job(q.name, tag, task_id, 'succeeded')
  claim.work_done(q, { counted = 0 }, cost)
  state.count(q, 'succeeded', 1)
end

local function is_paused(q, task, tag, rank) -- a person paused the task: its job goes aside
  --- @include "lib/asides"
  if not asides.until_ms(q, task) then return false end
  asides.put(q, task, tag, rank)
  return true
end

function lease.take(claim, q, o, resource, tag, rank, limited) -- false when the job is gone, is held, or can not be read
  -- limited: others may wait for its end
  local job = redis.call('GET', key.job(q.name, tag))
  if not job then return false end -- deleted by hand
  local token = claim.token .. (claim.got + 1)
  local deliveries, names, task, task_id, patience, flags, first, attempt = head.for_lease(job)
  if not deliveries then
    bury_unclaimed(claim, q, tag, '', 1, 'undecodable', 'UnreadableHead', 'The head line of the job could not be read.')
    return false
  end
  if q.has_tasks and is_paused(q, task, tag, rank) then return false end
  if flags ~= '' and flags:find('x', 1, true) and is_late(claim, q, job, tag) then return false end
  local got, l = claim.got + 1, o.limits
  claim.got = got
  deliveries = deliveries + 1
  local cost = q.by_count and 1 or means.of(task)
  local charged = cost / l.weight
  o.v = o.v + charged
  if l.interval then o.t = math.max(o.t, now.ms * 1000) + l.interval end
  if resource ~= '' and not claim.forgets then
    local rules = state.resource_rules()
    local r = rules.of(resource)
    flags = flags .. rules.take(r)
  end
  local waited_ms = math.max(0, now.ms - head.ready_since(tonumber(rank), patience, first))
  claim.waited_ms = claim.waited_ms + waited_ms
  if q.tell then
    q.tell('started', task_id, task, o.name, 'attempt', attempt + 1, 'worker', claim.holder, 'wait_ms', waited_ms)
  end
  if claim.forgets then
    end_now(claim, q, tag, task_id, cost)
  else
    o.n, q.n = o.n + 1, q.n + 1
    local leased = claim.leased
    leased[2 * got - 1] = token
    leased[2 * got] = record.write(q.name, tag, names, waited_ms, charged, 0, rank, now.ms, deliveries, attempt,
      flags)
  end
  local answer, at = claim.answer, 8 * got - 6
  answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4] = token, q.name, tag, tonumber(rank)
  answer[at + 5], answer[at + 6], answer[at + 7], answer[at + 8] = deliveries, now.ms, limited and 'limited' or '', job
  return true
end
