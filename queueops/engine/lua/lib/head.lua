-- The head line of a job string. The same layout is in rules/envelope.py; a test holds them together.

local head = {}

head.BYTES = 1024 -- an upper bound of the line, so that a big message is not read for its head

function head.parse(text)
  local deliveries, org, resource, task, task_id, patience, deadline, flags, run_limit, first, attempt = text:match(
    '^(%d%d)\t([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\t(%d+)\t(%d+)\t([^\t\n]*)\t(%d+)\t(%d+)\t(%d+)\n')
  if not deliveries then return nil end
  return {
    deliveries = tonumber(deliveries), org = org, resource = resource, task = task, task_id = task_id,
    patience = tonumber(patience), deadline = tonumber(deadline), flags = flags,
    run_limit = tonumber(run_limit), first = tonumber(first), attempt = tonumber(attempt),
  }
end

function head.for_lease(text) -- deliveries, 'org TAB resource TAB task TAB task id', task, task id, patience, flags, first,
  -- attempt
  return text:match(
    '^(%d%d)\t([^\t\n]*\t[^\t\n]*\t([^\t\n]*)\t([^\t\n]*))\t(%d+)\t%d+\t([^\t\n]*)\t%d+\t(%d+)\t(%d+)\n')
end

function head.ready_since(rank, patience, first) -- where a deadline pulled the rank forward: the first enqueue
  return math.max(rank - patience, first)
end
