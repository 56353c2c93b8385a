-- renew: a process says what it holds; its lease runs on, and what it does not know of is given back.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 holder   3 lease ms   4 number of its last claim that was answered or given up
--         5 registration (JSON with slots and queues; '' = none)   then 2 a lease: token, ms it has run so far
-- RETURNS tokens of its leases that are lost
-- COST    O(leases of the process)
-- KEEPS   a claim whose answer was lost costs no delivery; a long run is charged while it runs

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/gates"
--- @include "lib/giveback"
--- @include "lib/bells"
--- @keys holders held workers slots queue

now.set(ARGV[1])
local holder, lease_ms, answered, registration = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local known, lost = {}, {}

now.drainable()
for i = 6, #ARGV, 2 do
  local token, ran = ARGV[i], tonumber(ARGV[i + 1])
  known[token] = true
  local l = leases.find(token)
  if not l then
    lost[#lost + 1] = token
  else
    local q = state.queue(l.queue)
    if not q.by_count and ran > l.charged then
      leases.work_done(q, state.org(q, l.org), l, ran)
      leases.write(holder, token, l)
    end
  end
end
for _, token in ipairs(redis.call('HKEYS', key.held(holder))) do
  if not known[token] and tonumber(token:match('/(%d+)/%d+$')) <= answered then
    leases.give_back(token, leases.find(token), false, 0, '')
  end
end
redis.call('ZADD', key.holders(), fmt(now.ms + lease_ms), holder)
if registration ~= '' then
  local info = cjson.decode(registration)
  redis.call('HSET', key.workers(), holder, registration)
  for _, queue in ipairs(info.queues) do
    redis.call('HSET', key.slots(queue), holder, info.slots)
    local slots = 0
    for _, number in ipairs(redis.call('HVALS', key.slots(queue))) do slots = slots + tonumber(number) end
    redis.call('HSET', key.queue(queue), 'slots', slots)
  end
end
state.flush()
bells.ring_all()
return lost
