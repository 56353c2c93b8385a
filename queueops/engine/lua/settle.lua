-- settle: end leases with their outcome.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)
--         then 5 a lease: token, outcome ('succeeded' | 'dead' | 'retried' | 'cancelled'), run ms,
--         'f' (a failure for the breaker of its resource) | '', detail (JSON, for 'dead')
-- RETURNS one word a lease: 'settled' | 'stale' (the token holds nothing: nothing changed)
-- COST    O(log orgs) each; the caller sends at most 500
-- KEEPS   a stale token changes nothing; a dead job is in the dead stream before its lease is gone

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/leases"
--- @include "lib/forget"
--- @include "lib/history"

local MEAN_STEP = 0.1 -- weight of the newest runs in a task's running mean
local LONGEST_MS = 1e11 -- what a broken clock reports must not move the queue's time for ever

now.set(ARGV[1])
local words, stale, runs, number = {}, 0, {}, {} -- run ms and number of runs, by task

local function run_ms_of(text)
  local ms = tonumber(text)
  return ms and ms >= 0 and ms <= LONGEST_MS and ms or 0 -- false for NaN too
end

local function settle(token, outcome, run, failed, detail)
  local l = leases.find(token)
  if not l then
    -- A retry's publish ended the lease itself, so its settle is expected to find nothing.
    if outcome ~= 'retried' then stale = stale + 1 end
    return 'stale'
  end
  local run_ms = run_ms_of(run)
  local verdict = failed == 'f' and 'bad' or outcome == 'succeeded' and 'good' or nil
  local q = leases.finish(token, l, state.queue(l.queue).by_count and 1 or run_ms, verdict)
  runs[l.task], number[l.task] = (runs[l.task] or 0) + run_ms, (number[l.task] or 0) + 1
  history.note(l, outcome, run_ms > 0 and run or '0', outcome == 'dead' and history.error_of(detail) or nil)
  if outcome == 'dead' then
    --- @include "lib/bury"
    bury(q, token, l.tag, l.task_id, record.all(l).deliveries, detail)
  else
    forget.job(l.queue, l.tag, l.task_id, outcome)
    state.count(q, outcome, 1)
    if q.tell and outcome == 'succeeded' then
      q.tell(outcome, l.task_id, l.task, l.org, 'attempt', record.all(l).attempt + 1, 'run_ms', run, 'wait_ms', l.waited,
        'worker', l.holder)
    end
  end
  state.count(q, 'run_ms', run_ms)
  return 'settled'
end

local function learn(task, run_ms)
  local mean = tonumber(redis.call('HGET', key.means(), task))
  redis.call('HSET', key.means(), task, mean and mean + (run_ms - mean) * MEAN_STEP or run_ms)
end

now.drainable()
local tokens = {}
for i = 2, #ARGV, 5 do tokens[#tokens + 1] = ARGV[i] end
leases.read(tokens)
for i = 2, #ARGV, 5 do
  words[#words + 1] = settle(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
end
for task, total in pairs(runs) do learn(task, total / number[task]) end
if stale > 0 then redis.call('HINCRBY', key.totals(), 'stale', stale) end
state.flush()
return words
