-- unbury: dead jobs whose letters were discarded or purged; what is to become of the jobs that wait for them.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 'keep' (they go on waiting) | 'release' | 'cancel'   then the task ids
-- RETURNS number of task ids that were dead
-- COST    O(1) each, and O(1) a queue with jobs that wait for it; the caller sends at most 500
-- KEEPS   a task that lives again is not touched

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/marks"

now.set(ARGV[1])
local timer = ({ release = 'p', cancel = 'X' })[ARGV[2]]
local dead = 0

now.drainable()
for i = 3, #ARGV do
  dead = dead + redis.call('HDEL', key.graves(), ARGV[i])
  if timer and redis.call('HEXISTS', key.ids(), ARGV[i]) == 0 then
    for _, queue in ipairs(marks.children_of(ARGV[i])) do marks.wake_children(queue, timer, ARGV[i]) end
  end
end
state.flush()
return dead
