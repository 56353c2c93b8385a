-- Forget: the only place where a job ends. Whatever keeps a trace of it is cleared here.

--- @include "lib/jobs"
--- @keys job ids ended dead queue

jobs.ENDED_KEPT_S = 180 -- the minute that runs, and two whole ones

function jobs.forget(queue, tag, task_id)
  redis.call('UNLINK', key.job(queue, tag))
  local id = queue .. '\t' .. tag
  if redis.call('HGET', key.ids(), task_id) == id then -- a later message of the same task keeps its entry
    redis.call('HDEL', key.ids(), task_id)
  end
  local ended = key.ended(fmt(math.floor(now.ms / 60000)))
  if redis.call('SADD', ended, id) == 1 and redis.call('SCARD', ended) == 1 then
    redis.call('EXPIRE', ended, jobs.ENDED_KEPT_S)
  end
end

function jobs.has_ended(queue, tag) -- within the last two minutes
  local minute = math.floor(now.ms / 60000)
  for back = 0, 2 do
    if redis.call('SISMEMBER', key.ended(fmt(minute - back)), queue .. '\t' .. tag) == 1 then return true end
  end
  return false
end

function jobs.bury(q, token, tag, task_id, deliveries, detail)
  -- In the same step as the end of the lease; the stream is trimmed only after the row is in the database.
  redis.call('XADD', key.dead(), '*', 'token', token, 'queue', q.name, 'tag', tag, 'deliveries', deliveries,
    'died_ms', fmt(now.ms), 'detail', detail, 'job', redis.call('GET', key.job(q.name, tag)) or '')
  jobs.forget(q.name, tag, task_id)
  state.count(q, 'dead', 1)
end
