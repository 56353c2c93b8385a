-- Blocked: jobs that wait for other jobs, or for a person (a hold: '!', then the rank that the job had or would have).

--- @include "lib/head"
--- @include "lib/rank"
--- @include "lib/lanes"
--- @include "lib/marks"

local blocked = {}

function blocked.add(q, tag, due_ms, parents)
  redis.call('ZADD', key.blocked(q.name), due_ms, tag)
  redis.call('SADD', key.parents(q.name, tag), unpack(parents))
end

function blocked.is_hold(parent) return parent:sub(1, 1) == '!' end

local function read(q, tag) return head.parse(redis.call('GETRANGE', key.job(q.name, tag), 0, head.BYTES)) end

function blocked.open(q, tag, held_rank) -- the job waits for nothing but its time any more
  local due_ms = tonumber(redis.call('ZSCORE', key.blocked(q.name), tag))
  redis.call('ZREM', key.blocked(q.name), tag)
  local job = read(q, tag)
  if not (due_ms and job) then return end -- deleted by hand
  local o = state.org(q, job.org)
  if due_ms > now.ms then
    lanes.schedule(q, o, tag, due_ms)
  else
    lanes.push(q, o, job.resource, tag, held_rank or rank(now.ms, job.patience, job.deadline))
  end
  if q.tell then
    q.tell('released', job.task_id, job.task, job.org, 'attempt', job.attempt + 1, 'due_at', math.max(now.ms, due_ms))
  end
end

function blocked.without(q, tag, parent) -- one of the jobs that it waits for has succeeded
  local waits = key.parents(q.name, tag)
  if redis.call('SREM', waits, parent) == 0 then return end
  local left = redis.call('SCARD', waits)
  if left == 0 then return blocked.open(q, tag) end
  if left == 1 and redis.call('SISMEMBER', waits, '!') == 1 then -- held, it is ready as of now
    local job = read(q, tag)
    if not job then return end
    local due_ms = tonumber(redis.call('ZSCORE', key.blocked(q.name), tag)) or 0
    redis.call('SREM', waits, '!')
    redis.call('SADD', waits, '!' .. rank(math.max(now.ms, due_ms), job.patience, job.deadline))
  end
end

function blocked.leave_parents(q, tag) -- the job waits for nobody any more
  for _, parent in ipairs(redis.call('SMEMBERS', key.parents(q.name, tag))) do
    local children = key.children(q.name, parent)
    if redis.call('ZREM', children, tag) == 1 and redis.call('EXISTS', children) == 0 then
      marks.drop(parent, 'c' .. q.name)
    end
  end
  redis.call('DEL', key.parents(q.name, tag))
end

function blocked.drop(q, tag) -- the job ends here; returns whether it was blocked
  if redis.call('ZREM', key.blocked(q.name), tag) == 0 then return false end
  blocked.leave_parents(q, tag)
  return true
end
