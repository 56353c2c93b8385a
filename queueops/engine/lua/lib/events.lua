-- Events: what happens to the jobs of a queue that somebody follows. Only such a queue has q.tell and its like, and only
-- then is this part put together: a queue that nobody follows pays for one more field of a read that is made anyway.

--- @include "lib/head"

local events = { KEPT = 10000, BYTES = 200 }

local function short(value) return type(value) == 'string' and value:match('^[^\n]*'):sub(1, events.BYTES) or nil end

function events.follow(q, until_ms)
  if tonumber(until_ms) <= now.ms then -- nobody any more: the next script need not look
    redis.call('HDEL', key.gates(q.name), 'listen')
    return
  end

  function q.tell(kind, task_id, task, org, ...) -- then names and values
    -- pcall: what is wrong with the stream must not stop the jobs.
    redis.pcall('XADD', key.events(), 'MAXLEN', '~', events.KEPT, '*', 'kind', kind, 'at', now.ms, 'task_id', task_id,
      'task', task, 'queue', q.name, 'org', org, ...)
  end

  function q.tell_of(kind, tag, ...) -- of a job that is still there and known by its tag alone
    local job = head.parse(redis.call('GETRANGE', key.job(q.name, tag), 0, head.BYTES))
    if job then q.tell(kind, job.task_id, job.task, job.org, ...) end
  end

  function q.tell_put(word, due_ms, told, text) -- of what an enqueue was given: told of the superseded attempt, and the job
    local job = (word == 'ready' or word == 'scheduled' or word == 'blocked') and head.parse(text)
    if not job then return end
    local at = { 'state', word, 'attempt', job.attempt + 1 }
    if word == 'scheduled' then at[5], at[6] = 'due_at', due_ms end
    if job.attempt == 0 then return q.tell('enqueued', job.task_id, job.task, job.org, unpack(at)) end
    local run_ms, error, message = told:match('^[^\t]*\t?([^\t]*)\t?([^\t]*)\t?(.*)$')
    at[5], at[6] = 'retry_at', math.max(now.ms, due_ms)
    for name, value in pairs({ run_ms = run_ms, error = error, message = message }) do
      if value ~= '' then at[#at + 1], at[#at + 2] = name, value end
    end
    q.tell('retrying', job.task_id, job.task, job.org, unpack(at))
  end

  function q.tell_on() -- of a queue that was not there when somebody began to listen
    redis.call('HSET', key.gates(q.name), 'listen', until_ms)
  end

  function q.tell_dead(tag, detail)
    local read, told = pcall(cjson.decode, detail)
    told = read and type(told) == 'table' and told or {}
    q.tell_of('dead', tag, 'reason', short(told.reason) or '', 'error', short(told.error) or short(told.reason) or '',
      'message', short(told.message) or '', 'worker', short(told.worker) or '')
  end
end
