-- Totals: the sums that a queue keeps, against what they are sums of. `differs` notes a difference and returns whether to
-- mend it.

local totals = {}

local FOREIGN_LOOKED_AT = 10000

function totals.check_asides(q, sums, tasks, differs) -- ready jobs of paused tasks; with the end of the pause they come back
  local seen = {}
  local function check(task)
    local size = not seen[task] and redis.call('ZCARD', key.aside(q.name, task)) or 0
    seen[task] = true
    sums.depth = sums.depth + size
    local pause = redis.call('HGET', key.gates(q.name), '#' .. task)
    local waits = pause and ('\t' .. (q.has_tasks or '')):find('\t' .. task .. '\t', 1, true) and pause:match('^0\t')
    if size > 0 and not waits and not redis.call('ZSCORE', key.timers(q.name), 't' .. task)
      and differs('jobs put aside', task, 'a time to come back', '') then
      redis.call('ZADD', key.timers(q.name), now.ms, 't' .. task)
    end
  end
  for task in (q.has_tasks or ''):gmatch('([^\t]+)\t') do check(task) end
  for _, task in ipairs(tasks) do check(task) end
end

local function foreign(q) -- elements of stock Celery stand on the left of the list
  for start = 0, FOREIGN_LOOKED_AT - 1, 100 do
    for i, element in ipairs(redis.call('LRANGE', key.depth(q.name), start, start + 99)) do
      if element == '' then return start + i - 1 end
    end
  end
  return redis.call('LLEN', key.depth(q.name))
end

local function check_total(q, kind, field, wanted, differs)
  local found = tonumber(redis.call('HGET', key.queue(q.name), field)) or 0
  -- Sums of fractions are off by their rounding.
  if math.abs(found - wanted) > 1e-6 * math.max(1, math.abs(wanted)) and differs(kind, q.name, wanted, found) then
    redis.call('HSET', key.queue(q.name), field, wanted)
  end
end

local function check_depth(q, wanted, differs)
  local found = redis.call('LLEN', key.depth(q.name)) - foreign(q)
  if found == wanted or not differs('depth list', q.name, wanted, found) then return end
  if found > wanted then redis.call('LREM', key.depth(q.name), wanted - found, '') end
  for start = found, wanted - 1, 1000 do
    local empty = {}
    for i = 1, math.min(1000, wanted - start) do empty[i] = '' end
    redis.call('RPUSH', key.depth(q.name), unpack(empty))
  end
end

function totals.check(q, sums, differs)
  check_total(q, 'slots of the queue', 'n', sums.leases, differs)
  check_total(q, 'scheduled jobs', 'scheduled', sums.scheduled, differs)
  check_total(q, 'orgs with ready jobs', 'o', sums.waiting, differs)
  check_total(q, 'number of active orgs', 'A', sums.A, differs)
  check_total(q, 'weight of active orgs', 'W', sums.W, differs)
  check_depth(q, sums.depth, differs)
  local slots = 0
  for _, number in ipairs(redis.call('HVALS', key.slots(q.name))) do slots = slots + tonumber(number) end
  check_total(q, 'slots of the workers', 'slots', slots, differs)
end
