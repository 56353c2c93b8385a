-- Timers: whatever time alone changes in a queue. An org's due jobs are promoted a few at a time, then the org
-- goes behind the others, so one org's million due jobs do not keep the rest waiting.

--- @include "lib/head"
--- @include "lib/rank"
--- @include "lib/limits"
--- @include "lib/lanes"

local timers = {}

timers.AN_ORG = 16
timers.PROMOTED_A_CALL = 128

function timers.promote(q, name) -- returns how many, and whether the org has more that are due
  local scheduled = key.scheduled(q.name, name)
  local due = redis.call('ZRANGEBYSCORE', scheduled, '-inf', now.ms, 'WITHSCORES', 'LIMIT', 0, timers.AN_ORG)
  local o, tags = state.org(q, name), {}
  for i = 1, #due, 2 do
    local tag = due[i]
    tags[#tags + 1] = tag
    local job = head.parse(redis.call('GETRANGE', key.job(q.name, tag), 0, head.BYTES))
    if job then
      lanes.push(q, o, job.resource, tag, rank(tonumber(due[i + 1]), job.patience, job.deadline))
    end
  end
  if tags[1] then redis.call('ZREM', scheduled, unpack(tags)) end
  state.count(q, 'scheduled', -#tags)
  local next_due = tonumber(redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')[2])
  if next_due then
    redis.call('ZADD', key.timers(q.name), math.max(next_due, now.ms), 's' .. name)
  else
    redis.call('ZREM', key.timers(q.name), 's' .. name)
  end
  return #tags, next_due and next_due <= now.ms
end

local function look_again(q, name) -- a closed org, or one whose pause ends now
  local o = state.org(q, name)
  limits.of(q, o)
  if o.pause and not pauses.until_ms(o.pause) then
    redis.call('HDEL', key.gates(q.name), '!' .. name)
    o.pause = nil
  end
  if o.closed == '' then redis.call('ZREM', key.timers(q.name), 'o' .. name) end
  lanes.open(q, o)
end

local function look_at_resource(q, name)
  local resources = state.resource_rules()
  local r = resources.of(name)
  redis.call('ZREM', key.timers(q.name), 'r' .. name)
  if resources.is_closed(q, r) then
    local gate, until_ms = resources.gate(r)
    if gate then resources.close(q, r, until_ms) else resources.open(r) end
  end
end

local function end_pause(q) -- or a step of a ramp
  redis.call('ZREM', key.timers(q.name), '!')
  if not q.ramping then redis.call('HDEL', key.gates(q.name), 'ramp') end
  if q.pause and not pauses.until_ms(q.pause) then
    redis.call('HDEL', key.gates(q.name), '!')
    q.pause = nil
  end
end

local function of_children(q, entry, kind, parent) -- rare, so their parts are put together only here
  if not timers.children then
    --- @include "lib/children"
    timers.children = children
  end
  if kind == 'p' then return timers.children.release(q, entry, parent) end
  return timers.children.cancel(q, entry, parent, kind == 'x' and 1 or 0)
end

function timers.run(q, due) -- returns true when it left some of them for the next call
  local promoted, more = 0, false
  for _, entry in ipairs(due) do
    local kind, name = entry:sub(1, 1), entry:sub(2)
    if kind == 's' then
      local number, rest = timers.promote(q, name)
      promoted, more = promoted + number, more or rest
      if promoted >= timers.PROMOTED_A_CALL then return true end
    elseif kind == 'o' then
      look_again(q, name)
    elseif kind == 'p' or kind == 'x' or kind == 'X' then
      local number, rest = of_children(q, entry, kind, name)
      promoted, more = promoted + number, more or rest
      if promoted >= timers.PROMOTED_A_CALL then return true end
    elseif kind == 'r' then
      look_at_resource(q, name)
    elseif kind == 't' then
      --- @include "lib/asides"
      local number, rest = asides.bring_back(q, name)
      promoted, more = promoted + number, more or rest
    else
      end_pause(q)
    end
  end
  return more
end
