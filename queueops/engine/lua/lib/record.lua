-- The record of a lease: one line in the hash of what its process holds. Only this file knows the layout.

local record = { texts = {} }

local function text(number) -- most numbers of a script recur, and turning one into text costs more than a look
  -- Integers below 1e14 come out whole; of a charge its 14 digits are enough.
  local known = record.texts[number]
  if not known then
    known = tostring(number)
    record.texts[number] = known
  end
  return known
end

function record.write(queue, tag, names, waited, charged, counted, rank, claimed, deliveries, attempt, flags)
  -- names: 'org TAB resource TAB task TAB task id', as they stand in the job's head; waited: ms that it was ready
  return queue .. '\t' .. tag .. '\t' .. names .. '\t' .. text(waited) .. '\t' .. text(charged) .. '\t' .. text(counted)
    .. '\t' .. rank .. '\t' .. text(claimed) .. '\t' .. text(deliveries) .. '\t' .. attempt .. '\t' .. flags
end

function record.read(line) -- what every end of a lease needs; `rest` waits for record.all
  local queue, tag, org, resource, task, task_id, waited, charged, counted, rest = line:match(
    '^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t(%S+)\t(%S+)\t(%S+)\t(.*)$')
  return {
    queue = queue, tag = tag, org = org, resource = resource, task = task, task_id = task_id,
    waited = waited, charged = tonumber(charged), counted = tonumber(counted), rest = rest,
  }
end

function record.all(l) -- what only a job that waits again needs
  local rank, claimed, deliveries, attempt, flags = l.rest:match('^(%S+)\t(%S+)\t(%d+)\t(%d+)\t(.*)$')
  l.rank, l.claimed, l.deliveries, l.attempt, l.flags = rank, tonumber(claimed), tonumber(deliveries), attempt, flags
  return l
end
