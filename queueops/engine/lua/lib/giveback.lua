-- Give back: a lease ends and its job waits again, with the rank it had; or it dies when it was lost too often.

--- @include "lib/leases"
--- @include "lib/lanes"
--- @include "lib/bury"
--- @include "lib/cancelled"

local function note_lost(l, outcome, detail) -- rare, so its parts are put together only here
  if not leases.note then
    --- @include "lib/history"
    leases.note, leases.error_of = history.note, history.error_of
  end
  leases.note(l, outcome, '0', leases.error_of(detail))
end

function leases.give_back(token, l, lost, due_ms, detail, reaped)
  -- lost: the delivery counts, because the job may have run; otherwise it is as if it had never been claimed.
  -- reaped: its process is silent.
  local q, o = leases.finish(token, record.all(l), l.counted)
  local job = key.job(l.queue, l.tag)
  if redis.call('EXISTS', job) == 0 then return 'gone' end -- deleted by hand
  if cancelled.is(l) then
    forget.job(l.queue, l.tag, l.task_id, 'cancelled')
    state.count(q, 'cancelled', 1)
    return 'cancelled'
  end
  if lost then
    state.count(q, 'lost', 1)
    local dies = l.flags:find('o', 1, true) or l.deliveries >= q.deliveries
    note_lost(l, dies and 'dead' or 'lost', detail)
    if dies then
      bury(q, token, l.tag, l.task_id, l.deliveries, detail)
      return 'dead'
    end
    redis.call('SETRANGE', job, 0, string.format('%02d', math.min(99, l.deliveries)))
  end
  if due_ms > now.ms then
    lanes.schedule(q, o, l.tag, due_ms)
  else
    lanes.push(q, o, l.resource, l.tag, l.rank)
  end
  if q.tell then
    q.tell(reaped and 'recovered' or 'released', l.task_id, l.task, l.org, 'attempt', l.attempt + 1, 'worker', l.holder,
      'deliveries', lost and l.deliveries or l.deliveries - 1, 'due_at', math.max(now.ms, due_ms))
  end
  return 'released'
end
