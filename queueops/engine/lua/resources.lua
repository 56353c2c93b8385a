-- resources: publish settings of resources; whoever they had closed is looked at again.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   then 2 a resource: name, settings ('' = none)
-- RETURNS number of resources whose settings changed
-- COST    O(queues that it closed) each
-- KEEPS   jobs in flight and the breaker's state outlive a change of settings; enough probes that have passed close it

--- @include "lib/clock"
--- @include "lib/state"

now.set(ARGV[1])
local changed = 0

now.drainable()
for i = 2, #ARGV, 2 do
  local name, settings = ARGV[i], ARGV[i + 1]
  local hash = key.resource(name)
  if settings ~= '' then
    redis.call('SADD', key.resources(), name) -- also when a list of names has dropped it
    redis.call('PERSIST', hash) -- while it had no settings and stood idle it was about to be forgotten
  end
  if (redis.call('HGET', hash, '=') or '') ~= settings then
    changed = changed + 1
    if settings == '' then
      redis.call('HDEL', hash, '=')
    else
      redis.call('HSET', hash, '=', settings)
    end
    local rules = state.resource_rules()
    rules.changed(rules.of(name))
  end
end
state.flush()
return changed
