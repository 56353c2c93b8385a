-- Dependants: what an enqueue writes beside a job that waits for others, bears a unique key, or is to be remembered.

--- @include "lib/blocked"
--- @include "lib/unique"

local dependants = { of = {} } -- of: queues of new children, by parent

function dependants.counted(q, text) -- a publish that an existing job has answered
  redis.call('HINCRBY', key.existing(), head.parse(text).task, 1)
  state.count(q, 'existing', 1)
end

function dependants.note(q, a, tag, task_id) -- returns whether the task has marks
  if a.unique then unique.take(a.unique, task_id, a.unique_ms or 0) end
  for _, item in ipairs(a.marks) do marks.add(task_id, item) end
  if a.g then -- back from the dead: those that wait for it wait for a living job again
    redis.call('HDEL', key.graves(), task_id)
    for _, queue in ipairs(marks.children_of(task_id)) do redis.call('ZREM', key.timers(queue), 'x' .. task_id) end
  end
  return a.marks[1] ~= nil or a.g and redis.call('HEXISTS', key.marks(), task_id) == 1
end

function dependants.block(q, a, tag, due_ms)
  blocked.add(q, tag, due_ms, a.waits)
  for _, parent in ipairs(a.waits) do
    redis.call('ZADD', key.children(q.name, parent), a.x and 1 or 0, tag)
    dependants.of[parent] = q.name
  end
end

function dependants.send() -- when the index knows the jobs of this step
  for parent, queue in pairs(dependants.of) do
    marks.add(parent, 'c' .. queue)
    marks.flag(parent)
  end
end
