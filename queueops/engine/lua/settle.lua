-- settle: end leases with their outcome.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)
--         then 4 a lease: token, outcome ('succeeded' | 'dead' | 'retried' | 'cancelled'), run ms, detail (JSON, for 'dead')
-- RETURNS one word a lease: 'settled' | 'stale' (the token holds nothing: nothing changed)
-- COST    O(log orgs) each; the caller sends at most 500
-- KEEPS   a stale token changes nothing; a dead job is in the dead stream before its lease is gone

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/gates"
--- @include "lib/rings"
--- @include "lib/leases"
--- @include "lib/forget"
--- @include "lib/bells"
--- @keys totals

now.set(ARGV[1])
local words, runs = {}, {}

local function settle(token, outcome, run_ms, detail)
  local l = leases.find(token)
  if not l then
    -- A retry's publish ended the lease itself, so its settle is expected to find nothing.
    if outcome ~= 'retried' then redis.call('HINCRBY', key.totals(), 'stale', 1) end
    return 'stale'
  end
  local by_count = state.queue(l.queue).by_count
  local q = leases.finish(token, l, by_count and 1 or run_ms)
  runs[l.task] = run_ms
  if outcome == 'dead' then
    jobs.bury(q, token, l.tag, l.task_id, l.deliveries, detail)
  else
    jobs.forget(l.queue, l.tag, l.task_id)
    state.count(q, outcome, 1)
  end
  state.count(q, 'run_ms', run_ms)
  return 'settled'
end

now.drainable()
for i = 2, #ARGV, 4 do
  words[#words + 1] = settle(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3])
end
for task, run_ms in pairs(runs) do leases.learn(task, run_ms) end
state.flush()
bells.ring_all()
return words
