-- Bells: an element in the list wakes one idle worker of the queue. It carries no job, so nothing is lost with it.

--- @keys bell rings

local bells = {}

function bells.ring(queue)
  local bell = key.bell(queue)
  if redis.call('LLEN', bell) == 0 then
    redis.call('RPUSH', bell, '1')
  end
end

function bells.ring_all() -- for every queue of this script that may have work now
  for name, q in pairs(state.queues) do
    if q.bell and redis.call('EXISTS', key.rings(name)) == 1 then
      bells.ring(name)
    end
  end
end
