-- drain: put a step of a queue's waiting jobs off to a later time. The caller repeats it; it is not atomic as a whole.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue   3 at most so many jobs   4 until ms
-- RETURNS number of jobs put off; 0 when none waits that would start before then
-- COST    O(log jobs) a job
-- KEEPS   leased jobs run on; no job is due earlier than it was; a blocked job stays blocked

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/empty"

now.set(ARGV[1])
local queue, limit, until_ms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local q = state.queue(queue)
local drain = { number = 0 }

function drain.full() return drain.number >= limit end

local function put_off(o, tags)
  for _, tag in ipairs(tags) do lanes.schedule(q, o, tag, until_ms) end
  drain.number = drain.number + #tags
end

function drain.lanes(o)
  for resource in o.lanes:gmatch('(%S*) ') do
    if drain.full() then return end
    local lane = key.lane(queue, resource, o.name)
    local tags = redis.call('ZRANGE', lane, 0, limit - drain.number - 1)
    if tags[1] then q.depth = q.depth - redis.call('ZREM', lane, unpack(tags)) end
    put_off(o, tags)
    empty.lane(q, o, resource)
  end
end

function drain.scheduled(o)
  local scheduled = key.scheduled(queue, o.name)
  local tags = redis.call('ZRANGEBYSCORE', scheduled, '-inf', '(' .. until_ms, 'LIMIT', 0, limit - drain.number)
  put_off(o, tags)
  state.count(q, 'scheduled', -#tags) -- they were among the scheduled before
  local due_ms = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')[2]
  if due_ms then
    redis.call('ZADD', key.timers(queue), due_ms, 's' .. o.name)
  else
    redis.call('ZREM', key.timers(queue), 's' .. o.name)
  end
end

now.drainable() -- what it puts in it has taken out
empty.rings(q, drain, limit)
empty.timers(q, drain, limit, '-inf', '(' .. until_ms)
if drain.number == 0 then -- of what is due later only closings are looked at
  drain.scheduled = nil
  empty.timers(q, drain, limit, until_ms, '+inf')
end
state.flush()
return drain.number
