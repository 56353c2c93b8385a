-- Place: where a job waits, found by its task id, and how it is taken out of there.

--- @include "lib/head"
--- @include "lib/lanes"

local place = {}

function place.find(task_id) -- queue, tag, head of the job that the task is now; nil when there is none
  local entry = redis.call('HGET', key.ids(), task_id)
  if not entry then return nil end
  local queue, tag = entry:match('^([^\t]*)\t([^\t]*)')
  local job = head.parse(redis.call('GETRANGE', key.job(queue, tag), 0, head.BYTES))
  if job then return queue, tag, job end
end

local function leave_lane(q, o, resource, tag) -- returns its rank, or nil
  local lane = key.lane(q.name, resource, o.name)
  local rank = redis.call('ZSCORE', lane, tag)
  if not rank then return nil end
  redis.call('ZREM', lane, tag)
  q.depth = q.depth - 1
  if redis.call('EXISTS', lane) == 1 then return rank end
  rings.lane_emptied(q, o, resource)
  if redis.call('EXISTS', key.ring(q.name, resource)) == 0 then redis.call('ZREM', key.rings(q.name), resource) end
  if o.lanes == '' then lanes.open(q, o) end -- a closing is only worth remembering for jobs that wait
  return rank
end

local function leave_aside(q, task, tag) -- of a paused task; returns its rank, or nil
  local rank = redis.call('ZSCORE', key.aside(q.name, task), tag)
  if not rank then return nil end
  redis.call('ZREM', key.aside(q.name, task), tag)
  q.depth = q.depth - 1
  return rank
end

local function leave_schedule(q, org, tag) -- returns when it is due, or nil
  local scheduled = key.scheduled(q.name, org)
  local due_ms = redis.call('ZSCORE', scheduled, tag)
  if not due_ms then return nil end
  redis.call('ZREM', scheduled, tag)
  state.count(q, 'scheduled', -1)
  if redis.call('EXISTS', scheduled) == 0 then redis.call('ZREM', key.timers(q.name), 's' .. org) end
  return due_ms
end

function place.leave(q, tag, job) -- 'ready' and its rank, 'scheduled' and its due time; 'leased' or 'blocked' stays
  local rank = leave_lane(q, state.org(q, job.org), job.resource, tag)
  rank = rank or leave_aside(q, job.task, tag)
  if rank then return 'ready', rank end
  local due_ms = leave_schedule(q, job.org, tag)
  if due_ms then return 'scheduled', due_ms end
  return redis.call('ZSCORE', key.blocked(q.name), tag) and 'blocked' or 'leased'
end
