-- enqueue: put jobs into their lanes, or among the scheduled ones.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue
--         then 10 a job: tag, task id, org, resource, patience ms, deadline ms (0 = none), due ms (0 = now),
--         options ('r' = the tag may have been published before), supersedes (a lease token or ''), job string
-- RETURNS one word a job: 'ready' | 'scheduled' | 'duplicate' | 'stale' (the superseded lease was lost)
-- COST    O(log jobs) each; the caller sends at most 500
-- KEEPS   one job per (queue, tag), also two minutes after it ended; a retry replaces its delivery in one step;
--         over maxmemory the first SET is refused, before anything was written

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/rings"
--- @include "lib/leases"
--- @include "lib/forget"
--- @include "lib/giveback"
--- @include "lib/jobs"
--- @include "lib/bells"
--- @keys job ids queues ended

now.set(ARGV[1])
local queue = ARGV[2]
local q = state.queue(queue)
local words = {}

local function enqueue(tag, task_id, org, resource, patience, deadline, due_ms, options, supersedes, job)
  local old = supersedes ~= '' and leases.find(supersedes)
  local text = key.job(queue, tag)
  if options == 'r' and (redis.call('EXISTS', text) == 1 or jobs.has_ended(queue, tag)) then return 'duplicate' end
  if supersedes ~= '' and not old then return 'stale' end
  if old then
    local old_queue = leases.finish(supersedes, old, state.queue(old.queue).by_count and 1 or now.ms - old.claimed)
    jobs.forget(old.queue, old.tag, old.task_id)
    state.count(old_queue, 'retried', 1)
  end
  if not redis.call('SET', text, job, 'NX') then return 'duplicate' end
  redis.call('HSET', key.ids(), task_id, queue .. '\t' .. tag)
  state.count(q, 'enqueued', 1)
  local o = state.org(q, org)
  if due_ms > now.ms then
    rings.schedule(q, o, tag, due_ms)
    return 'scheduled'
  end
  rings.push(q, o, resource, tag, jobs.rank(now.ms, patience, deadline))
  return 'ready'
end

for i = 3, #ARGV, 10 do
  words[#words + 1] = enqueue(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4]),
    tonumber(ARGV[i + 5]), tonumber(ARGV[i + 6]), ARGV[i + 7], ARGV[i + 8], ARGV[i + 9])
end
redis.call('SADD', key.queues(), queue)
state.flush()
bells.ring_all()
return words
