-- enqueue: put jobs into their lanes, or among the scheduled ones.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue
--         then 10 a job: tag, task id, org, resource, patience ms, deadline ms (0 = none), due ms (0 = now),
--         options ('r' = the tag may have been published before), supersedes (a lease token or ''), job string
-- RETURNS one word a job: 'ready' | 'scheduled' | 'duplicate' | 'stale' (the superseded lease was lost)
-- COST    O(log jobs) each; the caller sends at most 500
-- KEEPS   one job per (queue, tag), also two minutes after it ended; a retry replaces its delivery in one step;
--         over maxmemory the first SET is refused, before anything was written, unless it is a retry

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/lanes"
--- @include "lib/rank"

now.set(ARGV[1])
local queue = ARGV[2]
local q = state.queue(queue)
local words, index = {}, {}
local leases_of, forget_of, record_of -- parts that only a retry needs

local function ending()
  if not leases_of then
    --- @include "lib/leases"
    --- @include "lib/forget"
    leases_of, forget_of, record_of = leases, forget, record
  end
  return leases_of, forget_of
end

local function has_ended(tag) -- within the last two minutes
  local minute = math.floor(now.ms / 60000)
  for back = 0, 2 do
    if redis.call('SISMEMBER', key.ended(minute - back), queue .. '\t' .. tag) == 1 then return true end
  end
  return false
end

local function supersede(token) -- returns false when the lease is no longer the publisher's
  local leases, forget = ending()
  local l = leases.find(token)
  if not l then return false end
  now.drainable() -- it takes out as much as it brings in
  local used = state.queue(l.queue).by_count and 1 or now.ms - record_of.all(l).claimed
  local from = leases.finish(token, l, used)
  forget.job(l.queue, l.tag, l.task_id)
  state.count(from, 'retried', 1)
  return true
end

local function enqueue(tag, task_id, org, resource, patience, deadline, due_ms, options, supersedes, job)
  local text = key.job(queue, tag)
  if options == 'r' and (redis.call('EXISTS', text) == 1 or has_ended(tag)) then return 'duplicate' end
  if supersedes ~= '' and not supersede(supersedes) then return 'stale' end
  if not redis.call('SET', text, job, 'NX') then return 'duplicate' end
  index[#index + 1], index[#index + 2] = task_id, queue .. '\t' .. tag
  state.count(q, 'enqueued', 1)
  local o = state.org(q, org)
  if due_ms > now.ms then
    lanes.schedule(q, o, tag, due_ms)
    return 'scheduled'
  end
  lanes.push(q, o, resource, tag, rank(now.ms, patience, deadline))
  return 'ready'
end

for i = 3, #ARGV, 10 do
  words[#words + 1] = enqueue(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4]),
    tonumber(ARGV[i + 5]), tonumber(ARGV[i + 6]), ARGV[i + 7], ARGV[i + 8], ARGV[i + 9])
end
if index[1] then
  redis.call('HSET', key.ids(), unpack(index))
  if not q.known then redis.call('SADD', key.queues(), queue) end
end
state.flush()
return words
