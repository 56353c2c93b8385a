-- Whereabouts: where a job is. Leases have no index by job, because only operators ask: each process is looked through.

--- @include "lib/record"

local whereabouts = {}

whereabouts.HOLDERS_LOOKED_AT = 1000

function whereabouts.lease(queue, tag) -- the lease on a job, its holder and its token; nil when nobody holds it
  local start = queue .. '\t' .. tag .. '\t'
  for _, holder in ipairs(redis.call('ZRANGE', key.holders(), 0, whereabouts.HOLDERS_LOOKED_AT - 1)) do
    local held = redis.call('HGETALL', key.held(holder))
    for i = 2, #held, 2 do
      if held[i]:sub(1, #start) == start then return record.all(record.read(held[i])), holder, held[i - 1] end
    end
  end
end

function whereabouts.waiting(queue, tag, job) -- 'ready', its rank and whether it was put aside; 'scheduled' or
  -- 'blocked' and its due time; or nil
  local rank = redis.call('ZSCORE', key.lane(queue, job.resource, job.org), tag)
  if rank then return 'ready', tonumber(rank), false end
  rank = redis.call('ZSCORE', key.aside(queue, job.task), tag) -- its task is paused, or was
  if rank then return 'ready', tonumber(rank), true end
  local due_ms = redis.call('ZSCORE', key.scheduled(queue, job.org), tag)
  if due_ms then return 'scheduled', tonumber(due_ms) end
  due_ms = redis.call('ZSCORE', key.blocked(queue), tag)
  if due_ms then return 'blocked', tonumber(due_ms) end
end
