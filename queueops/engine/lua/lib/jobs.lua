-- The head line of a job string, and its rank. The same layout is in rules/envelope.py; a test holds them together.

local jobs = {}

jobs.HEAD_BYTES = 1200 -- an upper bound of the head line, so that a big message is not read for its head
jobs.PATTERN = '^(%d%d)' .. string.rep('\t([^\t\n]*)', 10) .. '\n'

function jobs.parse(text)
  local deliveries, org, resource, task, task_id, patience, deadline, flags, run_limit, first, attempt = text:match(jobs.PATTERN)
  if not deliveries then return nil end
  return {
    deliveries = tonumber(deliveries), org = org, resource = resource, task = task, task_id = task_id,
    patience = tonumber(patience), deadline = tonumber(deadline), flags = flags,
    run_limit = tonumber(run_limit), first = tonumber(first), attempt = tonumber(attempt),
  }
end

function jobs.rank(since_ms, patience, deadline) -- one number: priority, FIFO, ageing and deadline
  local rank = since_ms + patience
  if deadline > 0 and deadline < rank then return deadline end
  return rank
end
