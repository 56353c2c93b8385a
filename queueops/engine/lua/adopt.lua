-- adopt: move messages that stock Celery left in a list into lanes.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue
--         then 5 a message: list it lies in, its element, tag, due ms (0 = now), job string
-- RETURNS number of messages moved
-- COST    at most 1,000 elements are looked at for each; the caller sends at most 100, the leftmost of the list
-- KEEPS   a message is in the list or in a lane, never in both; a due time that is over is when it became ready

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/lanes"
--- @include "lib/head"
--- @include "lib/rank"

local LOOKED_AT = 1000

now.set(ARGV[1])
local queue, moved = ARGV[2], 0
local q = state.queue(queue)

local function adopt(list, element, tag, due_ms, text)
  -- A look at the whole list for each would take minutes with a hundred thousand messages.
  if not redis.call('LPOS', P .. list, element, 'MAXLEN', LOOKED_AT) then return end -- another worker was first
  redis.call('LREM', P .. list, 1, element)
  if not redis.call('SET', key.job(queue, tag), text, 'NX') then return end -- stock had it twice
  local job = head.parse(text)
  local entry = queue .. '\t' .. tag
  if redis.call('HSET', key.ids(), job.task_id, entry) == 0 then -- a task that lives was published to stock too
    --- @include "lib/marks"
    marks.restore({ job.task_id, entry })
  end
  local o = state.org(q, job.org)
  if due_ms > now.ms then
    lanes.schedule(q, o, tag, due_ms)
  else
    local since_ms = due_ms > 0 and due_ms or now.ms
    lanes.push(q, o, job.resource, tag, rank(since_ms, job.patience, job.deadline))
  end
  if q.tell then q.tell_put(due_ms > now.ms and 'scheduled' or 'ready', due_ms, '', text) end
  state.count(q, 'adopted', 1)
  moved = moved + 1
end

now.drainable()
for i = 3, #ARGV, 5 do adopt(ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4]) end
redis.call('SADD', key.queues(), queue)
if q.tell then q.tell_on() end
state.flush()
return moved
