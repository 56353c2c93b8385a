-- hold: one job waits until a person releases it.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 'hold' | 'release' | 'free' (also from the jobs that it waits for)   3 task id
-- RETURNS 'held' | 'leased' (it runs: nothing changed) | 'released' | 'unchanged' (nothing held it) | 'unknown'
-- COST    O(log jobs)
-- KEEPS   a held job keeps its rank and its due time; one that also waits for other jobs waits for both

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/place"
--- @include "lib/blocked"

now.set(ARGV[1])
local verb, task_id = ARGV[2], ARGV[3]

now.drainable()
local queue, tag, job = place.find(task_id)
if not queue then return 'unknown' end
local q = state.queue(queue)
local waits = key.parents(queue, tag)

local function held() -- what stands for its hold, or nil
  for _, parent in ipairs(redis.call('SMEMBERS', waits)) do
    if blocked.is_hold(parent) then return parent end
  end
end

local function hold()
  local was, at = place.leave(q, tag, job)
  if was == 'ready' then
    blocked.add(q, tag, 0, { '!' .. at })
  elseif was == 'scheduled' then
    blocked.add(q, tag, at, { '!' .. rank(tonumber(at), job.patience, job.deadline) })
  elseif was == 'blocked' and not held() then
    redis.call('SADD', waits, '!')
  end
  return was == 'leased' and was or 'held'
end

local function release()
  local mark = held()
  if not mark then return 'unchanged' end
  redis.call('SREM', waits, mark)
  if redis.call('EXISTS', waits) == 0 then blocked.open(q, tag, tonumber(mark:sub(2))) end
  return 'released'
end

local function free()
  if not redis.call('ZSCORE', key.blocked(queue), tag) then return 'unchanged' end
  local mark = held()
  blocked.leave_parents(q, tag)
  blocked.open(q, tag, mark and tonumber(mark:sub(2)))
  return 'released'
end

local word = ({ hold = hold, release = release, free = free })[verb]()
state.flush()
return word
