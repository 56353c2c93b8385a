-- reap: one beat of a worker: note the pulse and end leases that expired.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 lease ms   3 at most so many leases
-- RETURNS number of leases ended
-- COST    O(log jobs) a lease
-- KEEPS   after an absence of the broker or a jump of its clock nothing is reaped for one lease length

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/gates"
--- @include "lib/expiry"
--- @include "lib/bells"
--- @keys pulse

now.set(ARGV[1])
local lease_ms, limit = tonumber(ARGV[2]), tonumber(ARGV[3])

now.drainable()
if expiry.pulse_broken(tonumber(redis.call('HGET', key.pulse(), 'last'))) then
  redis.call('HSET', key.pulse(), 'grace', fmt(now.ms + lease_ms))
end
redis.call('HSET', key.pulse(), 'last', fmt(now.ms))
if not expiry.may_reap() then return 0 end
local reaped = expiry.reap(limit)
state.flush()
bells.ring_all()
return reaped
