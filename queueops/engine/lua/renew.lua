-- renew: a process says what it holds; its lease runs on, and what it does not know of is given back.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 holder   3 lease ms   4 number of its last claim that was answered or given up
--         5 registration (JSON with slots and queues; '' = none)   then 2 a lease: token, ms it has run so far
-- RETURNS three lists of tokens: leases that are lost, leases whose jobs were cancelled, and among the others those
--         whose jobs were cancelled and may end where they have begun to run
-- COST    O(leases of the process)
-- KEEPS   a claim whose answer was lost costs no delivery; a long run is charged while it runs

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/giveback"
--- @include "lib/workers"
--- @include "lib/cancelled"

local READ_AT_ONCE = 500
local GIVEN_BACK_AT_ONCE = 500

now.set(ARGV[1])
local holder, lease_ms, answered, registration = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local known, lost, told = {}, {}, { stop = {}, spare = {} }

local function charge_so_far(token, l, ran_ms)
  local q = state.queue(l.queue)
  if q.by_count or ran_ms <= l.counted then return end
  local o = state.org(q, l.org)
  -- The queue's time moves with every ms worked; the org owes only what goes beyond the charge of its claim.
  fairness.work_done(q, l, ran_ms)
  if ran_ms / state.weight(q, o) > l.charged then fairness.charge_run(q, o, l, ran_ms) end
  record.all(l)
  local names = table.concat({ l.org, l.resource, l.task, l.task_id }, '\t')
  redis.call('HSET', key.held(holder), token, record.write(l.queue, l.tag, names, l.waited, l.charged, l.counted,
    l.rank, l.claimed, l.deliveries, l.attempt, l.flags))
end

now.drainable()
-- First: whatever is wrong with a queue, its process lives, and scripts do not roll back.
redis.call('ZADD', key.holders(), now.ms + lease_ms, holder)
for start = 6, #ARGV, 2 * READ_AT_ONCE do
  local tokens = {}
  for i = start, math.min(start + 2 * READ_AT_ONCE - 1, #ARGV), 2 do tokens[#tokens + 1] = ARGV[i] end
  leases.read(tokens)
end
for i = 6, #ARGV, 2 do
  local token, ran_ms = ARGV[i], tonumber(ARGV[i + 1])
  known[token] = true
  local l = leases.find(token)
  if l then
    charge_so_far(token, l, ran_ms)
    local tokens = told[cancelled.is(l)]
    if tokens then tokens[#tokens + 1] = token end
  else
    lost[#lost + 1] = token
  end
end
local given_back = 0
for _, token in ipairs(redis.call('HKEYS', key.held(holder))) do
  if given_back == GIVEN_BACK_AT_ONCE then break end -- the next renewal goes on
  if not known[token] and tonumber(token:match('/(%d+)/%d+$')) <= answered then
    leases.give_back(token, leases.find(token), false, 0, '')
    given_back = given_back + 1
  end
end
if registration ~= '' then workers.register(holder, registration) end
state.flush()
return { lost, told.stop, told.spare }
