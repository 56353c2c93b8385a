-- cancel: a job never runs, or is stopped, or ends with the run that it has.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 task id   3 what a run comes to: 'stop' | 'spare' (it may end, as the last)
-- RETURNS 'cancelled' (it waited, and is gone) | 'cancelling' (its worker learns of it by a renewal) | 'unknown'
-- COST    O(log jobs), and O(1) a job that it waited for
-- KEEPS   a cancelled job is never claimed again: its retry is refused, and a lost lease ends it

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/place"
--- @include "lib/blocked"
--- @include "lib/forget"

now.set(ARGV[1])
local task_id, spared = ARGV[2], ARGV[3] == 'spare'

now.drainable()
local queue, tag, job = place.find(task_id)
if not queue then return 'unknown' end
local q = state.queue(queue)
local was = place.leave(q, tag, job)
if was == 'leased' then
  local entry = queue .. '\t' .. tag
  if not (spared and redis.call('HGET', key.cancelled(), task_id) == entry) then -- who was to be stopped, still is
    redis.call('HSET', key.cancelled(), task_id, entry .. (spared and '\ts' or ''))
  end
  marks.add(task_id, 'x')
  marks.flag(task_id)
  return 'cancelling'
end
if was == 'blocked' then blocked.drop(q, tag) end
forget.job(queue, tag, task_id, 'cancelled')
state.count(q, 'cancelled', 1)
state.flush()
return 'cancelled'
