-- tally: the counters of a queue since ever, all of one moment, so that none of them is ever seen to fall.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue
-- RETURNS {now ms as text, 1 when a ring is open, counters of the queue, those of its history, its lines that are not
--         counted yet, then 3 a task: name, its counters of all hours but the last, of its last hour}; counters are
--         flat lists of field, value
-- COST    O(tasks with counters), 200 at most, and at most 255 lines
-- KEEPS   reads only

--- @include "lib/clock"

local HOURS_KEPT, FOLD = 192, 256 -- also in lib/fold and lib/history

now.set(ARGV[1])
local queue = ARGV[2]
local length = redis.call('LLEN', key.settled(queue))
local lines = length % FOLD > 0 and redis.call('LRANGE', key.settled(queue), -(length % FOLD), -1) or {}
local out = {
  string.format('%.17g', now.ms), redis.call('EXISTS', key.rings(queue)), redis.call('HGETALL', key.queue(queue)),
  redis.call('HGETALL', key.counts(queue)), lines,
}
local first = math.floor(now.ms / 3600000) - HOURS_KEPT + 1
local tasks = redis.call('ZRANGEBYSCORE', key.tasks(queue), first, '+inf', 'WITHSCORES')
for i = 1, #tasks, 2 do
  out[#out + 1] = tasks[i]
  out[#out + 1] = redis.call('HGETALL', key.ever(queue, tasks[i]))
  out[#out + 1] = redis.call('HGETALL', key.hour(queue, tasks[i + 1], tasks[i]))
end
return out
