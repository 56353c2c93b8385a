-- Wake: look at every closed org and resource of a queue again, because what closed it may have changed. A step at a time: the
-- first at once, the rest by the workers' beats, so that ten thousand closed orgs do not hold Redis.

--- @include "lib/bells"

local wake = {}

wake.A_STEP = 1000

function wake.step(queue, offset) -- offset: timers that are no closings, passed over by earlier steps
  local timers = key.timers(queue)
  local found = redis.call('ZRANGEBYSCORE', timers, '(' .. now.ms, '+inf', 'LIMIT', offset, wake.A_STEP)
  for _, entry in ipairs(found) do
    local kind = entry:sub(1, 1)
    if kind == 'o' or kind == 'r' then
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
