-- Bells: an element in the list wakes one idle worker of the queue. It carries no job, so nothing is lost with it.
-- Keeper: of a queue's idle workers the one that has promised to wake for its timers; the others look once a second.

local bells = {}

bells.IDLE_MS = 1000  -- the longest an idle worker waits without looking: a lost bell or a dead keeper costs a second
bells.NEAREST_MS = 10 -- timers nearer than this are waited for together

function bells.ring(queue)
  if redis.call('LLEN', key.bell(queue)) == 0 then redis.call('RPUSH', key.bell(queue), '1') end
end

function bells.has_work(q) -- whether a ring is open
  return redis.call('EXISTS', key.rings(q.name)) == 1
end

function bells.note_timer(q, at_ms) -- this script made a timer that nobody may know of
  if not q.soonest or at_ms < q.soonest then q.soonest = at_ms end
end

function bells.is_kept(q, at_ms) -- whether the keeper will be awake then; its promise ends when it wakes
  return q.wake_ms > now.ms and q.wake_ms <= at_ms + bells.NEAREST_MS
end

function bells.send() -- to every queue of this script that has work now (q.bell), or a timer sooner than known
  for name, q in pairs(state.queues) do
    local soonest = q.soonest
    if soonest and soonest < now.ms + bells.IDLE_MS and not bells.is_kept(q, soonest) then
      q.keeper, q.wake_ms = '', 0 -- whom the bell wakes becomes the keeper
      bells.ring(name)
    elseif q.bell then
      bells.ring(name)
    end
    q.soonest, q.bell = nil, false
  end
end

state.unsent[#state.unsent + 1] = bells.send
