-- Cancelled: leased jobs that somebody cancelled. Their workers learn of it by a renewal; none of them waits again.

local cancelled = {}

function cancelled.is(l) -- 'stop', or 'spare' for a run that may end, as the last one; nil for a job that is not
  if cancelled.none == nil then cancelled.none = redis.call('EXISTS', key.cancelled()) == 0 end
  if cancelled.none then return nil end
  local text, entry = redis.call('HGET', key.cancelled(), l.task_id), l.queue .. '\t' .. l.tag
  return text == entry and 'stop' or text == entry .. '\ts' and 'spare' or nil
end
