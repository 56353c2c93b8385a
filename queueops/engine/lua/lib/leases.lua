-- Leases: what one process holds. Slots are counted here and nowhere else, so a crash can not leak one.

--- @keys held holders job org ring rings means

local leases = { means = {} }

leases.UNKNOWN_MEAN_MS = 100 -- charged for a task nobody has measured yet
leases.MEAN_STEP = 0.1       -- weight of the newest run in a task's running mean

function leases.mean(task)
  local mean = leases.means[task]
  if not mean then
    mean = tonumber(redis.call('HGET', key.means(), task)) or leases.UNKNOWN_MEAN_MS
    leases.means[task] = mean
  end
  return mean
end

function leases.learn(task, run_ms)
  local known = redis.call('HGET', key.means(), task)
  local mean = known and (tonumber(known) + (run_ms - tonumber(known)) * leases.MEAN_STEP) or run_ms
  leases.means[task] = mean
  redis.call('HSET', key.means(), task, string.format('%.6g', mean))
end

function leases.write(holder, token, l)
  redis.call('HSET', key.held(holder), token, table.concat({
    l.queue, l.tag, l.org, l.resource, l.task, l.task_id, fmt(l.rank), fmt(l.claimed),
    fmt(l.charged), fmt(l.counted), l.deliveries, l.flags }, '\t'))
end

leases.PATTERN = '^' .. string.rep('([^\t]*)\t', 11) .. '([^\t]*)$'

function leases.parse(text)
  local queue, tag, org, resource, task, task_id, rank, claimed, charged, counted, deliveries, flags = text:match(leases.PATTERN)
  return {
    queue = queue, tag = tag, org = org, resource = resource, task = task, task_id = task_id,
    rank = tonumber(rank), claimed = tonumber(claimed), charged = tonumber(charged), counted = tonumber(counted),
    deliveries = tonumber(deliveries), flags = flags,
  }
end

function leases.holder(token) return token:match('^(.*)/%d+/%d+$') or '' end

function leases.find(token)
  local text = redis.call('HGET', key.held(leases.holder(token)), token)
  return text and leases.parse(text) or nil
end

function leases.correct(q, o, resource, delta) -- charge (delta > 0) or refund the org's own time
  if delta >= 0 then
    o.v = o.v + delta -- its place in the rings is a lower bound now; claim re-scores it lazily
    return
  end
  o.v = math.max(o.v + delta, math.min(o.v, q.V)) -- a refund never takes it below V
  if o.r > 0 then
    redis.call('ZADD', key.ring(q.name, resource), 'XX', fmt(o.v), o.name)
    redis.call('ZADD', key.rings(q.name), 'XX', 'LT', fmt(o.v), resource)
  end
end

function leases.work_done(q, o, l, used) -- moves the queue's time by work measured, and the org's by what it owes
  if q.W > 0 and used > l.counted then q.V = q.V + (used - l.counted) / q.W end
  l.counted = math.max(l.counted, used)
  leases.correct(q, o, l.resource, (used - l.charged) / o.limits.weight)
  l.charged = used
end

function leases.finish(token, l, used) -- frees the slots; `used`: ms (or units) of work to charge for
  local q = state.queue(l.queue)
  local o = state.org(q, l.org)
  redis.call('HDEL', key.held(leases.holder(token)), token)
  leases.work_done(q, o, l, used)
  o.n, q.n = math.max(0, o.n - 1), math.max(0, q.n - 1)
  if o.c == 'org_concurrency' or o.c == 'org_share' then rings.reopen(q, o) end
  if q.concurrency then q.bell = true end
  return q, o
end
