-- Marks: what the end of a task sets off beyond its job. Kept by task id, so that a retry and a replay keep them; the
-- index entry of a task with marks ends in TAB m, so that the end of any other job does not ask. Separated by TAB:
--   c<queue>   jobs of that queue wait for it        u<digest>  its unique key, until it ends
--   k<ms>      remember its success so much longer   U<digest>  its unique key, which has an end of its own
--   x          cancelled while leased

--- @include "lib/bells"
--- @include "lib/unique"

local marks = {}

function marks.flagged(entry) return entry and entry:sub(-2) == '\tm' end

function marks.add(task_id, item)
  local text = redis.call('HGET', key.marks(), task_id)
  if text and ('\t' .. text .. '\t'):find('\t' .. item .. '\t', 1, true) then return end
  redis.call('HSET', key.marks(), task_id, text and text .. '\t' .. item or item)
end

local function put(task_id, items)
  if items[1] then
    redis.call('HSET', key.marks(), task_id, table.concat(items, '\t'))
  else
    redis.call('HDEL', key.marks(), task_id)
  end
end

function marks.drop(task_id, item)
  local text, left = redis.call('HGET', key.marks(), task_id), {}
  if not text then return end
  for other in text:gmatch('[^\t]+') do
    if other ~= item then left[#left + 1] = other end
  end
  put(task_id, left)
end

function marks.flag(task_id) -- a task that lives says in its index entry that it has marks
  local entry = redis.call('HGET', key.ids(), task_id)
  if entry and not marks.flagged(entry) then redis.call('HSET', key.ids(), task_id, entry .. '\tm') end
end

function marks.restore(index) -- index: task ids and the entries that were written over others
  local ids, flagged = {}, {}
  for i = 1, #index, 2 do ids[#ids + 1] = index[i] end
  for i, text in ipairs(redis.call('HMGET', key.marks(), unpack(ids))) do
    if text and not marks.flagged(index[2 * i]) then
      flagged[#flagged + 1] = ids[i]
      flagged[#flagged + 1] = index[2 * i] .. '\tm'
    end
  end
  if flagged[1] then redis.call('HSET', key.ids(), unpack(flagged)) end
end

function marks.children_of(task_id) -- queues with jobs that wait for it
  local text, queues = redis.call('HGET', key.marks(), task_id), {}
  for queue in ('\t' .. (text or '')):gmatch('\tc([^\t]+)') do queues[#queues + 1] = queue end
  return queues
end

function marks.wake_children(queue, kind, task_id) -- claims of that queue do the rest, a step each
  if kind ~= 'x' then redis.call('ZREM', key.timers(queue), 'x' .. task_id) end -- whoever decides for all decides for some
  redis.call('ZADD', key.timers(queue), now.ms, kind .. task_id)
  bells.ring(queue)
end

local function end_children(queue, task_id, outcome) -- returns whether some go on waiting
  if outcome == 'succeeded' then
    marks.wake_children(queue, 'p', task_id)
    return false
  end
  if redis.call('ZCOUNT', key.children(queue, task_id), 1, 1) > 0 then marks.wake_children(queue, 'x', task_id) end
  return true
end

function marks.ended(task_id, outcome)
  local left = {}
  for item in (redis.call('HGET', key.marks(), task_id) or ''):gmatch('[^\t]+') do
    local kind, value = item:sub(1, 1), item:sub(2)
    if kind == 'c' then
      if end_children(value, task_id, outcome) then left[#left + 1] = item end
    elseif kind == 'u' or kind == 'U' and outcome ~= 'succeeded' then
      unique.give_up(value, task_id)
    elseif kind == 'k' and outcome == 'succeeded' then
      local kept_ms = value + 120000
      redis.call('SET', key.kept(task_id), now.ms + kept_ms, 'PX', kept_ms)
    elseif kind == 'x' then
      redis.call('HDEL', key.cancelled(), task_id)
    end
  end
  put(task_id, left)
end
