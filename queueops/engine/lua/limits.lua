-- limits: publish settings of a queue; whoever they had closed is looked at again.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue   then 2 a setting: field of the gates hash, value ('' = delete it)
-- RETURNS number of settings that changed
-- COST    O(1) each; a changed default also moves the queue's first 1,000 timers
-- KEEPS   a raised cap never waits for a slot to be freed

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/gates"
--- @include "lib/rings"
--- @include "lib/bells"
--- @keys gates timers

now.set(ARGV[1])
local queue, changed, reopen, everyone = ARGV[2], 0, {}, false

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
    if org then reopen[#reopen + 1] = org else everyone = true end
  end
end
local q = state.queue(queue)
for _, org in ipairs(reopen) do rings.reopen(q, state.org(q, org)) end
if everyone then
  for _, entry in ipairs(redis.call('ZRANGE', key.timers(queue), 0, 999)) do
    if entry:sub(1, 1) == 'o' then redis.call('ZADD', key.timers(queue), 'XX', 'LT', fmt(now.ms), entry) end
  end
  q.bell = true
end
state.flush()
bells.ring_all()
return changed
