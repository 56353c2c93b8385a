-- enqueue: put jobs into their lanes, among the scheduled ones, or among those that wait for other jobs.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue
--         then 10 a job: tag, task id, org, resource, patience ms, deadline ms (0 = none), due ms (0 = now),
--         options (separated by TAB: r the tag may have been published before, g a replay, f the attempt that it
--         supersedes failed, a<task id> wait for it, x cancelled with those, u<digest> unique key, U<its ms>,
--         k<ms its success is remembered>), supersedes ('' or a lease token, TAB ms that attempt ran, TAB its error,
--         TAB the error's message), job string
-- RETURNS one word a job: 'ready' | 'scheduled' | 'blocked' | 'duplicate' | 'stale' (the superseded lease was lost) |
--         'cancelled' (a retry of a job, or the child of one, that was) | 'existing' and the task id that holds the key;
--         or, and nothing of the step was written: 'unknown', a parent's task id; 'full', depth, limit, org ('' = the queue)
-- COST    O(log jobs) each, and O(1) a parent; the caller sends at most 500
-- KEEPS   one job per (queue, tag), also two minutes after it ended; a retry replaces its delivery in one step;
--         over maxmemory the first SET is refused, before anything was written, unless it is a retry

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/lanes"
--- @include "lib/rank"

now.set(ARGV[1])
local queue = ARGV[2]
state.also = { 'backlog', 'org_backlog' }
local q = state.queue(queue)
q.backlog, q.org_backlog = tonumber(q.also[11]), tonumber(q.also[12])
local words, index, added = {}, {}, 0
local leases_of, forget_of, record_of, is_cancelled, history_of -- parts that only a retry needs
local admitted, dependants_of -- only for jobs with options, and where the backlog is limited

local function ending()
  if not leases_of then
    --- @include "lib/leases"
    --- @include "lib/forget"
    --- @include "lib/cancelled"
    --- @include "lib/history"
    leases_of, forget_of, record_of, is_cancelled, history_of = leases, forget, record, cancelled.is, history
  end
  return leases_of, forget_of
end

local function was_there(tag, task_id) -- a job, or within the last two minutes
  if redis.call('EXISTS', key.job(queue, tag)) == 1 then return true end
  --- @include "lib/ended"
  return ended.has(queue, tag, task_id)
end

local function supersede(told, task_id, failed) -- returns the word that ends the enqueue, or nil and whether it has marks
  local leases, forget = ending()
  local token, run_ms, error = told:match('^([^\t]*)\t?([^\t]*)\t?(.*)$')
  local l = leases.find(token)
  if not l then return 'stale' end -- the lease is no longer the publisher's
  now.drainable() -- it takes out as much as it brings in
  local held_ms = now.ms - record_of.all(l).claimed
  local used = state.queue(l.queue).by_count and 1 or held_ms
  local from = leases.finish(token, l, used, failed and 'bad' or nil)
  local function end_as(outcome)
    state.count(from, outcome, 1)
    history_of.note(l, outcome, tonumber(run_ms) and run_ms or tostring(held_ms), error ~= '' and error or nil)
  end
  if l.task_id ~= task_id then
    forget.job(l.queue, l.tag, l.task_id, 'retried')
    end_as('retried')
    return nil, false
  end
  local entry = redis.call('HGET', key.ids(), task_id)
  local has_marks = entry and entry:sub(-2) == '\tm'
  if has_marks and is_cancelled(l) then
    forget.job(l.queue, l.tag, task_id, 'cancelled')
    end_as('cancelled')
    return 'cancelled'
  end
  if entry then added = added - 1 end
  forget.attempt(l.queue, l.tag)
  end_as('retried')
  return nil, has_marks
end

local function enqueue(tag, task_id, org, resource, patience, deadline, due_ms, options, supersedes, job, a)
  local has_marks = false
  if a then
    if a.word then
      if a.word:sub(1, 8) == 'existing' then dependants_of.counted(q, job) end
      return a.word
    end
  elseif options == 'r' and was_there(tag, task_id) then
    return 'duplicate'
  end
  if supersedes ~= '' then
    local word
    word, has_marks = supersede(supersedes, task_id, options == 'f' or a and a.f)
    if word then return word end
  end
  if not redis.call('SET', key.job(queue, tag), job, 'NX') then return 'duplicate' end
  if a and dependants_of.note(q, a, tag, task_id) then has_marks = true end
  index[#index + 1], index[#index + 2] = task_id, queue .. '\t' .. tag .. (has_marks and '\tm' or '')
  added = added + 1
  state.count(q, 'enqueued', 1)
  if a and a.waits[1] then
    dependants_of.block(q, a, tag, due_ms)
    return 'blocked'
  end
  local o = state.org(q, org)
  if due_ms > now.ms then
    lanes.schedule(q, o, tag, due_ms)
    return 'scheduled'
  end
  lanes.push(q, o, resource, tag, rank(now.ms, patience, deadline))
  return 'ready'
end

local function has_options() -- beside 'r' and 'f', which cost nothing but a look of their own
  for i = 10, #ARGV, 10 do
    if #ARGV[i] > 1 or ARGV[i] == 'g' then return true end
  end
end

if q.backlog or q.org_backlog or has_options() then
  --- @include "lib/admit"
  --- @include "lib/dependants"
  local known, refusal = admit.step(q, ARGV, 3)
  if refusal then return refusal end
  admitted, dependants_of = known, dependants
end
for i = 3, #ARGV, 10 do
  words[#words + 1] = enqueue(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4]),
    tonumber(ARGV[i + 5]), tonumber(ARGV[i + 6]), ARGV[i + 7], ARGV[i + 8], ARGV[i + 9], admitted and admitted[i])
  if q.tell then q.tell_put(words[#words], tonumber(ARGV[i + 6]), ARGV[i + 8], ARGV[i + 9]) end
end
if index[1] then
  if redis.call('HSET', key.ids(), unpack(index)) < added then -- a task that lives was published again: it keeps its marks
    --- @include "lib/marks"
    marks.restore(index)
  end
  if not q.known then
    redis.call('SADD', key.queues(), queue)
    if q.tell then q.tell_on() end
  end
end
if dependants_of then dependants_of.send() end
state.flush()
return words
