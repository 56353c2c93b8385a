-- Lanes and rings. An org stands in ring (queue, resource) when its lane there is not empty and no gate closed it.

--- @keys lane ring rings timers org depth scheduled

local rings = {}

function rings.enter(q, o, resource)
  if o.v < q.V then o.v = q.V end -- new or back from anywhere: nobody brings credit along
  local score = fmt(o.v)
  o.r = o.r + redis.call('ZADD', key.ring(q.name, resource), score, o.name)
  -- LT: the score in rings is a lower bound of the ring's head; claim raises it lazily.
  redis.call('ZADD', key.rings(q.name), 'LT', score, resource)
  q.bell = true
end

function rings.leave(q, o, resource)
  o.r = o.r - redis.call('ZREM', key.ring(q.name, resource), o.name)
end

function rings.push(q, o, resource, tag, rank)
  local lane = key.lane(q.name, resource, o.name)
  redis.call('ZADD', lane, fmt(rank), tag)
  if redis.call('ZCARD', lane) == 1 then
    o.k = o.k + 1
    redis.call('HSET', key.org(q.name, o.name), 'l:' .. resource, '1')
    if o.c == '' then rings.enter(q, o, resource) end
  elseif o.c == '' then
    q.bell = true
  end
  redis.call('RPUSH', key.depth(q.name), '')
end

function rings.schedule(q, o, tag, due_ms)
  redis.call('ZADD', key.scheduled(q.name, o.name), fmt(due_ms), tag)
  redis.call('ZADD', key.timers(q.name), 'LT', fmt(due_ms), 's' .. o.name)
  state.count(q, 'scheduled', 1)
end

function rings.lane_emptied(q, o, resource)
  o.k = o.k - redis.call('HDEL', key.org(q.name, o.name), 'l:' .. resource)
  rings.leave(q, o, resource)
end

function rings.close(q, o, resource, gate, until_ms)
  rings.leave(q, o, resource)
  o.c, o.u = gate, until_ms
  redis.call('ZADD', key.timers(q.name), fmt(until_ms), 'o' .. o.name)
end

function rings.reopen(q, o)
  if o.c == '' then return end
  o.c, o.u = '', 0
  redis.call('ZREM', key.timers(q.name), 'o' .. o.name)
  for _, field in ipairs(redis.call('HKEYS', key.org(q.name, o.name))) do
    if field:sub(1, 2) == 'l:' then rings.enter(q, o, field:sub(3)) end
  end
end

function rings.mirror_take(q, number) -- take `number` jobs off the depth mirror, never an element of stock Celery
  if number > 0 then redis.call('LREM', key.depth(q.name), -number, '') end
end
