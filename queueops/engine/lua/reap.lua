-- reap: one beat of a worker: note the pulse, end leases that expired, look again at orgs that a change concerns.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 lease ms   3 at most so many leases
-- RETURNS number of leases ended
-- COST    O(log jobs) a lease; at most 1,000 timers of each queue whose closed orgs are to be looked at again;
--         once a clock has stepped back, at most 10,000 slots that code holds
-- KEEPS   after an absence of the broker or a jump of its clock nothing is reaped for one lease length;
--         a clock that stepped back leaves no lease, no slot and no closing in its former future

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/expiry"
--- @include "lib/slots"

local HOLDERS_A_CALL = 1000

now.set(ARGV[1])
local lease_ms, limit = tonumber(ARGV[2]), tonumber(ARGV[3])

local function clock_stepped_back()
  for _, holder in ipairs(redis.call('ZRANGEBYSCORE', key.holders(), '(' .. (now.ms + lease_ms), '+inf',
    'LIMIT', 0, HOLDERS_A_CALL)) do
    redis.call('ZADD', key.holders(), now.ms + lease_ms, holder)
  end
  slots.stepped_back()
  for _, queue in ipairs(redis.call('SMEMBERS', key.queues())) do wake.all(queue) end
end

now.drainable()
local pulse = redis.call('HGETALL', key.pulse())
local last
for i = 1, #pulse, 2 do
  if pulse[i] == 'last' then last = tonumber(pulse[i + 1]) end
  local queue = pulse[i]:match('^wake:(.*)$')
  if queue then wake.step(queue, tonumber(pulse[i + 1])) end
end
if expiry.pulse_broken(last) then redis.call('HSET', key.pulse(), 'grace', now.ms + lease_ms) end
if last and last > now.ms + expiry.PULSE_AHEAD_MS then clock_stepped_back() end
redis.call('HSET', key.pulse(), 'last', now.ms)
local reaped = expiry.may_reap() and expiry.reap(limit) or 0
slots.expire()
state.flush()
return reaped
