-- Admit: what is decided of a step of jobs before anything is written, where they wait for others, bear unique keys, or
-- their queue has a limit on its backlog. A parent is a job that lives, is dead or has ended lately, or one of the step.

--- @include "lib/ended"
--- @include "lib/unique"

local admit = { FIELDS = 10 }

local function options_of(text) -- letters of one are flags; the others have a value
  local a = { parents = {}, marks = {} }
  for item in text:gmatch('[^\t]+') do
    local kind, value = item:sub(1, 1), item:sub(2)
    if kind == 'a' then
      a.parents[#a.parents + 1] = value
    elseif kind == 'u' then
      a.unique = value
    elseif kind == 'U' then
      a.unique_ms = tonumber(value)
    elseif kind == 'k' then
      a.marks[#a.marks + 1] = item
    else
      a[kind] = true
    end
  end
  return a
end

local function unique_word(step, a, task_id)
  local holder = step.taken[a.unique] or unique.holder(a.unique)
  if not holder then
    step.taken[a.unique] = task_id
    a.marks[#a.marks + 1] = ((a.unique_ms or 0) > 0 and 'U' or 'u') .. a.unique
    return nil
  end
  step.alias[task_id] = holder -- what waits for this job waits for that one
  return 'existing ' .. holder
end

local function waits_for(step, parent) -- 'live', 'dead' (or cancelled), 'succeeded', or nil for an unknown task
  local holder = step.alias[parent]
  parent = holder or parent
  if step.coming[parent] or redis.call('HEXISTS', key.ids(), parent) == 1 then return 'live', parent end
  if redis.call('HEXISTS', key.graves(), parent) == 1 then return 'dead', parent end
  local outcome = ended.outcome(parent)
  if outcome == 'cancelled' then return 'dead', parent end
  return (outcome == 'succeeded' or holder) and 'succeeded' or nil, parent
end

local function decide(step, a, queue, tag, task_id) -- sets a.word of a job that will not be written; returns an unknown parent
  if step.tags[tag] or redis.call('EXISTS', key.job(queue, tag)) == 1 or a.r and ended.has(queue, tag, task_id) then
    a.word = 'duplicate'
    return nil
  end
  a.waits = {}
  for _, name in ipairs(a.parents) do
    local state_of, parent = waits_for(step, name)
    if not state_of then return name end
    if state_of == 'dead' and a.x then a.word = 'cancelled' end
    if state_of ~= 'succeeded' then a.waits[#a.waits + 1] = parent end
  end
  if a.unique and not a.word then a.word = unique_word(step, a, task_id) end
  return nil
end

local function full(q, ready, by_org) -- what a step with so many ready jobs is refused with, or nil
  local depth = q.backlog and redis.call('LLEN', key.depth(q.name)) or 0
  if q.backlog and ready > 0 and depth + ready > q.backlog then return { 'full', tostring(depth), tostring(q.backlog), '' } end
  if not q.org_backlog then return nil end
  for org, number in pairs(by_org) do
    local o, size = state.org(q, org), 0
    for resource in o.lanes:gmatch('(%S*) ') do size = size + redis.call('ZCARD', key.lane(q.name, resource, org)) end
    if org ~= q.exempt and size + number > q.org_backlog then
      return { 'full', tostring(size), tostring(q.org_backlog), org }
    end
  end
end

function admit.step(q, args, first) -- returns what is known of each job, by its place in args; or nil and the refusal
  local step = { taken = {}, alias = {}, coming = {}, tags = {} }
  local known, ready, by_org = {}, 0, {}
  for i = first, #args, admit.FIELDS do
    local tag, task_id, org = args[i], args[i + 1], args[i + 2]
    local a = options_of(args[i + 7])
    known[i] = a
    if args[i + 8] ~= '' then -- a retry was let in at its first enqueue
      a.parents, a.unique, a.marks = {}, nil, {}
    elseif a.g then -- a replay does not wait again
      a.parents = {}
    end
    local unknown = decide(step, a, q.name, tag, task_id)
    if unknown then return nil, { 'unknown', unknown } end
    if not a.word then
      step.coming[task_id], step.tags[tag] = true, true
      if args[i + 8] == '' and not a.g and not a.waits[1] and tonumber(args[i + 6]) <= now.ms then
        ready, by_org[org] = ready + 1, (by_org[org] or 0) + 1
      end
    end
  end
  local refusal = full(q, ready, by_org)
  if refusal then return nil, refusal end
  return known
end
