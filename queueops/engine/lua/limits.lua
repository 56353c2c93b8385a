-- limits: publish settings of a queue; whoever they had closed is looked at again.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue   then 2 a setting: field of the gates hash, value ('' = delete it)
-- RETURNS number of settings that changed
-- COST    O(1) each; a setting for all orgs also moves 1,000 timers of the queue, and a beat the next 1,000
-- KEEPS   a raised cap never waits for a slot to be freed

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/limits"
--- @include "lib/lanes"
--- @include "lib/wake"

now.set(ARGV[1])
local queue, changed, orgs, everyone = ARGV[2], 0, {}, false

now.drainable()
for i = 3, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  local old = redis.call('HGET', key.gates(queue), field) or ''
  if old ~= value then
    changed = changed + 1
    if value == '' then
      redis.call('HDEL', key.gates(queue), field)
    else
      redis.call('HSET', key.gates(queue), field, value)
    end
    local org = field:match('^=(.+)$')
    if org then orgs[#orgs + 1] = org else everyone = true end
  end
end
if orgs[1] then redis.call('HSET', key.gates(queue), 'orgs', '1') end
if changed > 0 then
  local q = state.queue(queue)
  for _, org in ipairs(orgs) do
    local o = state.org(q, org)
    o.own = '1'
    if o.a > 0 then limits.of(q, o) end -- an active org counts with its new weight at once
    lanes.open(q, o)
  end
  if everyone then
    wake.all(queue)
    q.bell = q.bell or bells.has_work(q)
  end
  state.flush()
end
return changed
