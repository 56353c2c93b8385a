-- Asides: jobs of a paused task. A task's name closes no lane, so its jobs are put aside when they come to the head of
-- theirs, still ready, and come back with their rank when it opens.

--- @include "lib/pauses"

local asides = {}

asides.A_STEP = 64

function asides.until_ms(q, task) -- until when the task is paused; nil when it is not
  if not q.has_tasks or not ('\t' .. q.has_tasks):find('\t' .. task .. '\t', 1, true) then return nil end
  return pauses.until_ms(redis.call('HGET', key.gates(q.name), '#' .. task))
end

function asides.put(q, task, tag, rank) -- the claim has counted it out of the ready ones
  redis.call('ZADD', key.aside(q.name, task), rank, tag)
  q.depth = q.depth + 1
end

function asides.forget_pause(q, task)
  redis.call('HDEL', key.gates(q.name), '#' .. task)
  local left = ('\t' .. (q.has_tasks or '')):gsub('\t' .. task:gsub('%p', '%%%0') .. '\t', '\t'):sub(2)
  q.has_tasks = left ~= '' and left or nil
  if left ~= '' then
    redis.call('HSET', key.gates(q.name), 'tasks', left)
  else
    redis.call('HDEL', key.gates(q.name), 'tasks')
  end
end

local function return_some(q, task, limit) -- to their lanes; returns how many
  --- @include "lib/head"
  --- @include "lib/lanes"
  local aside = key.aside(q.name, task)
  local found = redis.call('ZRANGE', aside, 0, limit - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    local tag = found[i]
    redis.call('ZREM', aside, tag)
    q.depth = q.depth - 1
    local job = head.parse(redis.call('GETRANGE', key.job(q.name, tag), 0, head.BYTES))
    if job then lanes.push(q, state.org(q, job.org), job.resource, tag, found[i + 1]) end
  end
  return #found / 2
end

function asides.bring_back(q, task) -- a step, when the pause is over; returns how many, and whether more are left
  local until_ms = asides.until_ms(q, task)
  if until_ms then
    redis.call('ZADD', key.timers(q.name), until_ms, 't' .. task)
    return 0, false
  end
  asides.forget_pause(q, task)
  local number = return_some(q, task, asides.A_STEP)
  local more = redis.call('EXISTS', key.aside(q.name, task)) == 1
  if more then
    redis.call('ZADD', key.timers(q.name), now.ms, 't' .. task)
  else
    redis.call('ZREM', key.timers(q.name), 't' .. task)
  end
  return number, more
end

function asides.into_lanes(q, limit) -- those of paused tasks, for a script that empties the lanes
  for task in (q.has_tasks or ''):gmatch('([^\t]+)\t') do return_some(q, task, limit) end
end
