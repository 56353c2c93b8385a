-- listen: have the scripts tell what happens to jobs, for a while.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 for so many ms
-- RETURNS id of the latest event; where nobody has listened until now that is a 'gap', for what was not told before it
-- COST    O(queues)
-- KEEPS   who asks last decides until when; the events are gone some time after nobody listens any more

--- @include "lib/clock"

local EVENTS_KEPT_MS = 600000

now.set(ARGV[1])
local ms = tonumber(ARGV[2])
local until_ms = now.ms + ms

now.drainable()
local is_on = redis.call('GET', key.listening())
redis.call('SET', key.listening(), until_ms, 'PX', ms)
for _, queue in ipairs(redis.call('SMEMBERS', key.queues())) do redis.call('HSET', key.gates(queue), 'listen', until_ms) end
local latest = redis.call('XREVRANGE', key.events(), '+', '-', 'COUNT', 1)[1]
if not is_on or tonumber(is_on) <= now.ms or not latest then
  redis.call('XADD', key.events(), '*', 'kind', 'gap', 'at', now.ms)
  latest = redis.call('XREVRANGE', key.events(), '+', '-', 'COUNT', 1)[1]
end
redis.call('PEXPIRE', key.events(), ms + EVENTS_KEPT_MS)
return latest[1]
