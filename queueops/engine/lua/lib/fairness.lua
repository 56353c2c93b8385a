-- Fairness: the queue's time moves by work done only; an org's own time by what it was charged for that work.

local fairness = { moved = {} } -- orgs whose own time changed, and their queues

function fairness.work_done(q, l, used) -- `used`: ms of work that the lease has come to (units where the queue counts)
  if used > l.counted then
    if q.W > 0 then q.V = q.V + (used - l.counted) / q.W end
    l.counted = used
  end
end

function fairness.charge_run(q, o, l, used) -- `l.charged` is virtual time: a changed weight counts for the whole run
  local owed = used / state.weight(q, o)
  if owed == l.charged then return end
  o.v = o.v + owed - l.charged
  if owed < l.charged then o.v = math.max(o.v, math.min(o.v + l.charged - owed, q.V)) end -- a refund ends at V
  l.charged = owed
  fairness.moved[o] = q
end

function fairness.send() -- takes the orgs to their places; a claim finds them there without a second look
  local places, lowest = {}, {}
  for o, q in pairs(fairness.moved) do
    if o.closed == '' then
      for resource in o.lanes:gmatch('(%S*) ') do
        local ring = key.ring(q.name, resource)
        local args = places[ring] or { 'XX' }
        args[#args + 1] = o.v
        args[#args + 1] = o.name
        places[ring] = args
        local rings = lowest[q.name] or {}
        rings[resource] = math.min(rings[resource] or o.v, o.v)
        lowest[q.name] = rings
      end
    end
  end
  for ring, args in pairs(places) do redis.call('ZADD', ring, unpack(args)) end
  for queue, rings in pairs(lowest) do
    for resource, v in pairs(rings) do redis.call('ZADD', key.rings(queue), 'XX', 'LT', v, resource) end
  end
end

state.unsent[#state.unsent + 1] = fairness.send
