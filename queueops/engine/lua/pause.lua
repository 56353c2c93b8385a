-- pause: a person closes a gate, or opens it again (resume).
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 'pause' | 'resume'   3 queue ('' for a resource, which has one for all)
--         4 'queue' | 'org' | 'task' | 'resource'   5 its name ('' = the queue)   6 until ms (0 = until resumed)
--         7 by   8 reason   9 resume gradually until this ms ('' = at once; a queue only)
-- RETURNS 'paused' | 'resumed' | 'unchanged'
-- COST    O(rings of the org)
-- KEEPS   no job moves: a paused lane keeps its place

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/lanes"

now.set(ARGV[1])
local verb, queue, kind, name, until_ms = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local text = ARGV[6] .. '\t' .. ARGV[7] .. '\t' .. ARGV[8]
local FIELD = { queue = '!', org = '!' .. name, task = '#' .. name, resource = '!' }
local TIMER = { queue = '!', org = 'o' .. name, task = 't' .. name }
local hash = kind == 'resource' and key.resource(name) or key.gates(queue)

local function put() -- returns the word
  if verb == 'pause' then
    redis.call('HSET', hash, FIELD[kind], text)
    if kind == 'org' then redis.call('HSET', hash, 'orgs', '1') end
    return 'paused'
  end
  return redis.call('HDEL', hash, FIELD[kind]) == 1 and 'resumed' or 'unchanged'
end

local function time_end(q)
  if until_ms > 0 then
    redis.call('ZADD', key.timers(queue), until_ms, TIMER[kind])
    bells.note_timer(q, until_ms)
  else
    redis.call('ZREM', key.timers(queue), TIMER[kind]) -- the end of an earlier pause
  end
end

local function task_changed(q)
  if verb == 'pause' then
    local paused = '\t' .. (q.has_tasks or '')
    if not paused:find('\t' .. name .. '\t', 1, true) then
      redis.call('HSET', hash, 'tasks', (q.has_tasks or '') .. name .. '\t')
    end
    time_end(q)
  else -- the next claim brings its jobs back, a step at a time
    redis.call('ZADD', key.timers(queue), now.ms, TIMER.task)
    bells.note_timer(q, now.ms)
  end
end

local function start_ramp(q)
  redis.call('HSET', hash, 'ramp', now.ms .. ' ' .. ARGV[9])
  redis.call('ZADD', key.timers(queue), 'LT', tonumber(ARGV[9]), '!')
end

now.drainable()
local changed = put()
if changed == 'unchanged' then return changed end
if kind == 'resource' then
  local rules = state.resource_rules()
  local r = rules.of(name)
  redis.call('SADD', key.resources(), name)
  if r.closed ~= '' then rules.open(r) end -- at its head a claim meets what holds now
else
  local q = state.queue(queue)
  if kind == 'task' then
    task_changed(q)
  else
    if kind == 'org' then
      local o = state.org(q, name)
      o.own = '1'
      lanes.open(q, o) -- at its head it meets what holds now
    end
    time_end(q)
    if ARGV[9] ~= '' and verb == 'resume' then start_ramp(q) end
  end
  q.bell = verb == 'resume' and bells.has_work(q)
end
state.flush()
return changed
