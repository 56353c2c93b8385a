-- Rings: an org stands in ring (queue, resource) when its lane there is not empty and no gate closed it.
-- o.lanes names the resources of its lanes that are not empty, each followed by a blank (names hold none).

--- @include "lib/bells"

local rings = {}

function rings.has_lane(o, resource)
  return o.lanes == resource .. ' ' or (' ' .. o.lanes):find(' ' .. resource .. ' ', 1, true) ~= nil
end

function rings.lane_emptied(q, o, resource)
  local lanes = ''
  for other in o.lanes:gmatch('(%S*) ') do
    if other ~= resource then lanes = lanes .. other .. ' ' end
  end
  o.lanes = lanes
  redis.call('ZREM', key.ring(q.name, resource), o.name)
end

function rings.close(q, o, gate, until_ms)
  for resource in o.lanes:gmatch('(%S*) ') do redis.call('ZREM', key.ring(q.name, resource), o.name) end
  o.closed = gate
  redis.call('ZADD', key.timers(q.name), until_ms, 'o' .. o.name)
  bells.note_timer(q, until_ms)
end
