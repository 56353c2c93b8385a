-- retry: a job that waits for its time runs now; its back-off, its ETA or its drain ends.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 task id
-- RETURNS 'ready' | 'unchanged' (it does not wait for a time) | 'unknown'
-- COST    O(log jobs)
-- KEEPS   its attempt counts as ever; its rank is that of a job that is due now

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/lanes"
--- @include "lib/head"
--- @include "lib/rank"

now.set(ARGV[1])
local entry = redis.call('HGET', key.ids(), ARGV[2])
if not entry then return 'unknown' end
local queue, tag = entry:match('^([^\t]*)\t([^\t]*)')
local job = head.parse(redis.call('GETRANGE', key.job(queue, tag), 0, head.BYTES))
if not job then return 'unknown' end
local scheduled = key.scheduled(queue, job.org)
if redis.call('ZSCORE', scheduled, tag) == false then return 'unchanged' end

now.drainable() -- it frees as much as it takes
local q = state.queue(queue)
local o = state.org(q, job.org)
redis.call('ZREM', scheduled, tag)
state.count(q, 'scheduled', -1)
local next_due = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')[2]
if next_due then
  redis.call('ZADD', key.timers(queue), next_due, 's' .. job.org)
else
  redis.call('ZREM', key.timers(queue), 's' .. job.org)
end
lanes.push(q, o, job.resource, tag, rank(now.ms, job.patience, job.deadline))
state.flush()
return 'ready'
