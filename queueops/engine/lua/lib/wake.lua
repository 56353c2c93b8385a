-- Wake: look at every closed org and resource of a queue again, because what closed it may have changed, and at what is
-- done in steps, which a clock that stepped back has left in its future. A step at a time: the first at once, the rest by
-- the workers' beats, so that ten thousand closed orgs do not hold Redis.

--- @include "lib/bells"

local wake = {}

wake.A_STEP = 1000
wake.KINDS = 'orpxX' -- what is due now; not the times of jobs, nor the ends of pauses

function wake.step(queue, offset) -- offset: timers that are no closings, passed over by earlier steps
  local timers = key.timers(queue)
  local found = redis.call('ZRANGEBYSCORE', timers, '(' .. now.ms, '+inf', 'LIMIT', offset, wake.A_STEP)
  for _, entry in ipairs(found) do
    if wake.KINDS:find(entry:sub(1, 1), 1, true) then
      redis.call('ZADD', timers, 'XX', now.ms, entry)
    else
      offset = offset + 1
    end
  end
  if #found < wake.A_STEP then
    redis.call('HDEL', key.pulse(), 'wake:' .. queue)
  else
    redis.call('HSET', key.pulse(), 'wake:' .. queue, offset)
  end
  if #found > 0 then bells.note_timer(state.queue(queue), now.ms) end
end

function wake.all(queue) wake.step(queue, 0) end
