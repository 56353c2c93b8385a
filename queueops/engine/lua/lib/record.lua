-- The record of a lease: one line in the hash of what its process holds. Only this file knows the layout.

local record = {}

function record.write(queue, tag, org, resource, task, task_id, rank, claimed, charged, counted, deliveries, flags)
  -- Integers below 1e14 are whole in `..`; of a charge its 14 digits are enough.
  return queue .. '\t' .. tag .. '\t' .. org .. '\t' .. resource .. '\t' .. task .. '\t' .. task_id .. '\t' .. rank
    .. '\t' .. claimed .. '\t' .. charged .. '\t' .. counted .. '\t' .. deliveries .. '\t' .. flags
end

function record.read(text)
  local queue, tag, org, resource, task, task_id, rank, claimed, charged, counted, deliveries, flags = text:match(
    '^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t(%S+)\t(%S+)\t(%S+)\t(%S+)\t(%d+)\t(.*)$')
  return {
    queue = queue, tag = tag, org = org, resource = resource, task = task, task_id = task_id,
    rank = tonumber(rank), claimed = tonumber(claimed), charged = tonumber(charged), counted = tonumber(counted),
    deliveries = tonumber(deliveries), flags = flags,
  }
end
