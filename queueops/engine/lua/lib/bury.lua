-- Bury: a job gave up. It goes to the dead stream in the same step as the end of its lease; the stream is trimmed
-- only after the row is in the database.

--- @include "lib/forget"

local function bury(q, token, tag, task_id, deliveries, detail)
  redis.call('XADD', key.dead(), '*', 'token', token, 'queue', q.name, 'tag', tag, 'deliveries', deliveries,
    'died_ms', now.ms, 'detail', detail, 'job', redis.call('GET', key.job(q.name, tag)) or '')
  if q.tell then q.tell_dead(tag, detail) end
  forget.job(q.name, tag, task_id, 'dead')
  state.count(q, 'dead', 1)
end
