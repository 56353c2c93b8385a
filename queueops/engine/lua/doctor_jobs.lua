-- doctor_jobs: look at some jobs, or entries of an index: each job stands in one place and can be found. Mends on request.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 'check' | 'repair'   3 'jobs' | 'index' | 'unique'
--         then 2 a job: queue, tag; or task ids; or digests of unique keys
-- RETURNS 4 a finding: kind, of what, as it should be, as it is
-- COST    O(log jobs) each, and O(leases of all processes) for jobs that do not wait; the caller sends at most 500
-- KEEPS   what must not run twice, and may have run, becomes a dead letter; all else is put back into its lane

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/blocked"
--- @include "lib/bury"
--- @include "lib/record"

now.set(ARGV[1])
local repair, out = ARGV[2] == 'repair', {}
local held -- queue TAB tag of every lease

local function differs(kind, what, wanted, found)
  local n = #out
  out[n + 1], out[n + 2], out[n + 3], out[n + 4] = kind, what, wanted, found
  return repair
end

local function is_leased(queue, tag)
  if not held then
    held = {}
    for _, holder in ipairs(redis.call('ZRANGE', key.holders(), 0, -1)) do
      for _, line in ipairs(redis.call('HVALS', key.held(holder))) do
        local l = record.read(line)
        held[l.queue .. '\t' .. l.tag] = true
      end
    end
  end
  return held[queue .. '\t' .. tag]
end

local function put_back(q, tag, job) -- it has lost its place, and perhaps its worker
  if job.flags:find('o', 1, true) then
    bury(q, 'doctor/' .. q.name .. '/' .. tag, tag, job.task_id, job.deliveries, cjson.encode({ reason = 'worker_lost',
      error = 'Astray', message = 'The job had lost its place in the broker, and must not run twice.' }))
  else
    lanes.push(q, state.org(q, job.org), job.resource, tag, rank(job.first > 0 and job.first or now.ms, job.patience,
      job.deadline))
  end
end

local function take_out(q, tag, job, place) -- of the second place that it stands in
  if place == 'scheduled' then
    redis.call('ZREM', key.scheduled(q.name, job.org), tag)
    state.count(q, 'scheduled', -1)
  elseif place == 'blocked' then
    blocked.drop(q, tag)
  else
    local zset = place == 'aside' and key.aside(q.name, job.task) or key.lane(q.name, job.resource, job.org)
    q.depth = q.depth - redis.call('ZREM', zset, tag)
    if place == 'lane' and redis.call('EXISTS', zset) == 0 then rings.lane_emptied(q, state.org(q, job.org), job.resource) end
  end
end

local function check_parents(q, tag) -- a blocked job waits for something, and that knows it
  local parents = redis.call('SMEMBERS', key.parents(q.name, tag))
  local name = q.name .. ' ' .. tag
  if not parents[1] then
    if differs('blocked job', name, 'a job to wait for', 'none') then blocked.open(q, tag) end
    return
  end
  for _, parent in ipairs(parents) do
    if not blocked.is_hold(parent) then
      local known = redis.call('HEXISTS', key.ids(), parent) == 1 or redis.call('HEXISTS', key.graves(), parent) == 1
        or redis.call('ZSCORE', key.timers(q.name), 'p' .. parent)
      if not known then
        differs('parent of a blocked job', name, 'a job that lives or lies dead', parent)
      elseif not redis.call('ZSCORE', key.children(q.name, parent), tag)
        and differs('child of a job', parent, tag, 'unknown to it') then
        redis.call('ZADD', key.children(q.name, parent), 0, tag)
        marks.add(parent, 'c' .. q.name)
        marks.flag(parent)
      end
    end
  end
end

local function check_job(queue, tag)
  local job = head.parse(redis.call('GETRANGE', key.job(queue, tag), 0, head.BYTES))
  if not job then return end -- it has ended, or a claim buries what can not be read
  local q, places = state.queue(queue), {}
  local function stands(place, where) if where then places[#places + 1] = place end end
  stands('lane', redis.call('ZSCORE', key.lane(queue, job.resource, job.org), tag))
  stands('aside', redis.call('ZSCORE', key.aside(queue, job.task), tag))
  stands('scheduled', redis.call('ZSCORE', key.scheduled(queue, job.org), tag))
  stands('blocked', redis.call('ZSCORE', key.blocked(queue), tag))
  if not places[1] or places[2] then stands('leased', is_leased(queue, tag)) end
  local name = queue .. ' ' .. tag
  if not places[1] then
    if differs('place of a job', name, 'one', 'none') then put_back(q, tag, job) end
  elseif places[2] and differs('place of a job', name, 'one', table.concat(places, ', ')) then
    for i = 1, #places - 1 do take_out(q, tag, job, places[i]) end -- a lease stays, for it is the last
  end
  if not redis.call('HGET', key.ids(), job.task_id) and differs('index of jobs', job.task_id, name, 'no entry') then
    redis.call('HSET', key.ids(), job.task_id, queue .. '\t' .. tag)
  end
  if places[1] == 'blocked' and not places[2] then check_parents(q, tag) end
end

local function check_entry(task_id)
  local entry = redis.call('HGET', key.ids(), task_id)
  if not entry then return end
  local queue, tag = entry:match('^([^\t]*)\t([^\t]*)')
  if redis.call('EXISTS', key.job(queue, tag)) == 0 and differs('index of jobs', task_id, 'a job', queue .. ' ' .. tag) then
    forget.job(queue, tag, task_id, 'cancelled')
  end
end

local function check_unique(digest)
  local until_ms, task_id = (redis.call('GET', key.unique(digest)) or ''):match('^(%d+)\t(.*)$')
  if until_ms == '0' and redis.call('HEXISTS', key.ids(), task_id) == 0
    and differs('unique key', digest, 'a job that lives', task_id) then
    redis.call('DEL', key.unique(digest))
  end
end

if repair then now.drainable() end
if ARGV[3] == 'jobs' then
  for i = 4, #ARGV, 2 do check_job(ARGV[i], ARGV[i + 1]) end
else
  local check = ARGV[3] == 'index' and check_entry or check_unique
  for i = 4, #ARGV do check(ARGV[i]) end
end
if repair then state.flush() end
return out
