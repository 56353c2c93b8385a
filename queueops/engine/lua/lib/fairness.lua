-- Fairness: the queue's time moves by work done only; an org's own time by what it was charged for that work.

local fairness = { refunded = {} }

function fairness.charge(q, o, delta) -- delta > 0 charges the org's own time, delta < 0 refunds it
  if delta >= 0 then
    o.v = o.v + delta -- its place in the rings is a lower bound now; claim re-scores it lazily
    return
  end
  o.v = math.max(o.v + delta, math.min(o.v, q.V)) -- a refund never takes it below V
  fairness.refunded[o] = q
end

function fairness.work_done(q, l, used) -- `used`: ms of work that the lease has come to (units where the queue counts)
  if used > l.counted then
    if q.W > 0 then q.V = q.V + (used - l.counted) / q.W end
    l.counted = used
  end
end

function fairness.charge_run(q, o, l, used) -- `l.charged` is virtual time: a changed weight counts for the whole run
  local owed = used / state.weight(q, o)
  fairness.charge(q, o, owed - l.charged)
  l.charged = owed
end

function fairness.send() -- a refund moves the org forward in its rings, where a claim would never look for it
  for o, q in pairs(fairness.refunded) do
    if o.closed == '' then
      for resource in o.lanes:gmatch('(%S*) ') do
        redis.call('ZADD', key.ring(q.name, resource), 'XX', o.v, o.name)
        redis.call('ZADD', key.rings(q.name), 'XX', 'LT', o.v, resource)
      end
    end
  end
end

state.unsent[#state.unsent + 1] = fairness.send
