-- claim: choose the next jobs fairly and lease them to one process.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 holder   3 number of this claim   4 jobs for free slots
--         5 jobs ahead of slots   6 lease ms   7 'lease' | 'forget' (a consumer that does not acknowledge)
--         8... queues in the order in which they are to be served
-- RETURNS {'claimed' | 'empty' | 'more' (stopped at its bound: ask again at once), wait ms for the bell,
--         then 8 a job: token, queue, tag, rank ms, deliveries, claimed ms, 'limited' | '', job string}
-- COST    O(log orgs + log jobs) a job; at most 500 jobs, 64 looks without a job, 64 timers, 16 leases reaped
-- KEEPS   one lease a job; no gate exceeded; an org's place moves only by what it was charged

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/bells"
--- @include "lib/pauses"

local JOBS_A_CALL = 500
local REAPED_A_CALL = 16
local TIMERS_A_CALL = 64

now.set(ARGV[1])
local claim = {
  holder = ARGV[2], token = ARGV[2] .. '/' .. ARGV[3] .. '/', lease_ms = tonumber(ARGV[6]), forgets = ARGV[7] == 'forget',
  free = tonumber(ARGV[4]), want = math.min(ARGV[4] + ARGV[5], JOBS_A_CALL),
  rings_read = 8, got = 0, looks = 0, waited_ms = 0, more = false, leased = {}, answer = { 'empty', bells.IDLE_MS },
}
local served = {} -- queues that had their turn
local choose_in

local function serve(q) -- returns whether work is left that another worker could take
  local due = redis.call('ZRANGEBYSCORE', key.timers(q.name), '-inf', now.ms, 'LIMIT', 0, TIMERS_A_CALL)
  if due[1] then
    --- @include "lib/timers"
    if timers.run(q, due) or #due == TIMERS_A_CALL then claim.more = true end
  end
  if pauses.until_ms(q.pause) then return false end
  local open = redis.call('ZRANGE', key.rings(q.name), 0, claim.rings_read - 1, 'WITHSCORES')
  if not open[1] then return false end
  if not choose_in then
    --- @include "lib/choose"
    choose_in = choose.serve
  end
  return choose_in(claim, q, open)
end

local function keep_timers(q) -- one idle process wakes for the timers, the others wait for the bell
  local timer = tonumber(redis.call('ZRANGE', key.timers(q.name), 0, 0, 'WITHSCORES')[2])
  if claim.got > 0 then -- whoever got work may not wake in time
    if timer then bells.note_timer(q, timer) end
    q.wake_ms, q.keeper = 0, ''
  elseif timer and timer < now.ms + bells.IDLE_MS then
    local wake_ms = math.max(timer, now.ms + bells.NEAREST_MS)
    if q.keeper ~= claim.holder and bells.is_kept(q, wake_ms) then return end
    q.wake_ms, q.keeper = wake_ms, claim.holder
    claim.answer[2] = math.min(claim.answer[2], wake_ms - now.ms)
  elseif q.keeper == claim.holder then -- the timer is gone, and with it the promise
    q.wake_ms, q.keeper = 0, ''
  end
end

now.drainable()
for i = 8, #ARGV do
  local queue = ARGV[i]
  if claim.got < claim.want then
    local q = state.queue(queue)
    q.bell = serve(q)
    served[queue] = true
  elseif redis.call('EXISTS', key.rings(queue)) == 1 then
    bells.ring(queue) -- the worker is full before the queue's turn comes
  end
end
if claim.leased[1] then
  redis.call('HSET', key.held(claim.holder), unpack(claim.leased))
  redis.call('ZADD', key.holders(), 'GT', now.ms + claim.lease_ms, claim.holder)
end
if claim.got < claim.want and redis.call('ZRANGEBYSCORE', key.holders(), '-inf', now.ms, 'LIMIT', 0, 1)[1] then
  -- Beats reap each second; a worker with nothing to do helps, and asks again for what came back.
  --- @include "lib/expiry"
  if expiry.may_reap() and expiry.reap(REAPED_A_CALL) > 0 then claim.more = true end
end
for queue in pairs(served) do
  local q = state.queue(queue)
  if claim.got == 0 and not claim.more or q.keeper == claim.holder then keep_timers(q) end
end
state.flush()
if claim.got == JOBS_A_CALL and claim.want < ARGV[4] + ARGV[5] then claim.more = true end
claim.answer[1] = claim.more and 'more' or claim.got > 0 and 'claimed' or 'empty'
return claim.answer
