-- Lanes: how jobs and orgs come in, and come back.

--- @include "lib/rings"

local lanes = {}

local function is_out(q, resource) -- whether a gate of the resource holds the ring
  local rules = state.resource_rules()
  return rules.is_closed(q, rules.of(resource))
end

function lanes.enter(q, o, resource)
  if o.v < q.V then o.v = q.V end -- new or back from anywhere: nobody brings credit along
  redis.call('ZADD', key.ring(q.name, resource), o.v, o.name)
  if resource ~= '' and is_out(q, resource) then return end
  -- LT: the score in rings is a lower bound of the ring's head; claim raises it lazily.
  redis.call('ZADD', key.rings(q.name), 'LT', o.v, resource)
  q.bell = true
end

function lanes.open(q, o) -- whatever closed it: at its head it meets the gates as they are now
  if o.closed == '' then return end
  o.closed = ''
  redis.call('ZREM', key.timers(q.name), 'o' .. o.name)
  for resource in o.lanes:gmatch('(%S*) ') do lanes.enter(q, o, resource) end
end

function lanes.push(q, o, resource, tag, rank)
  q.depth = q.depth + redis.call('ZADD', key.lane(q.name, resource, o.name), rank, tag)
  if rings.has_lane(o, resource) then
    if o.closed == '' and (resource == '' or not is_out(q, resource)) then q.bell = true end
    return
  end
  o.lanes = o.lanes .. resource .. ' '
  if o.closed == '' then lanes.enter(q, o, resource) end
end

function lanes.schedule(q, o, tag, due_ms)
  redis.call('ZADD', key.scheduled(q.name, o.name), due_ms, tag)
  redis.call('ZADD', key.timers(q.name), 'LT', due_ms, 's' .. o.name)
  bells.note_timer(q, due_ms)
  state.count(q, 'scheduled', 1)
end
