-- Children: jobs that wait for one that has ended. They are released, or cancelled with it, a step at a time.

--- @include "lib/blocked"
--- @include "lib/forget"

local children = {}

children.A_STEP = 64

local function rest(q, timer, left) -- the timer goes behind the others until nothing is left to do
  if left then
    redis.call('ZADD', key.timers(q.name), now.ms, timer)
  else
    redis.call('ZREM', key.timers(q.name), timer)
  end
  return left
end

function children.release(q, timer, parent) -- returns how many, and whether there are more
  local found = redis.call('ZPOPMIN', key.children(q.name, parent), children.A_STEP)
  for i = 1, #found, 2 do blocked.without(q, found[i], parent) end
  local left = redis.call('EXISTS', key.children(q.name, parent)) == 1
  if not left then marks.drop(parent, 'c' .. q.name) end
  return #found / 2, rest(q, timer, left)
end

function children.cancel(q, timer, parent, least) -- `least`: 1 those whose policy says so, 0 all; returns as release
  local tags = redis.call('ZRANGEBYSCORE', key.children(q.name, parent), least, 1, 'LIMIT', 0, children.A_STEP)
  for _, tag in ipairs(tags) do
    local job = head.parse(redis.call('GETRANGE', key.job(q.name, tag), 0, head.BYTES))
    if not blocked.drop(q, tag) then redis.call('ZREM', key.children(q.name, parent), tag) end
    forget.job(q.name, tag, job and job.task_id or '', 'cancelled')
  end
  state.count(q, 'cancelled', #tags)
  return #tags, rest(q, timer, #tags == children.A_STEP)
end
