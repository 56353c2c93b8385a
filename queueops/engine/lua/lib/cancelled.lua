-- Cancelled: leased jobs that somebody cancelled. Their workers learn of it by a renewal; none of them waits again.

local cancelled = {}

function cancelled.is(l)
  if cancelled.none == nil then cancelled.none = redis.call('EXISTS', key.cancelled()) == 0 end
  if cancelled.none then return false end
  return redis.call('HGET', key.cancelled(), l.task_id) == l.queue .. '\t' .. l.tag
end
