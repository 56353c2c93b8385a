-- Gates: each answers open (nil) or closed (its name and until when). Nothing is taken before all are open.

local gates = {}

gates.RECHECK_MS = 30000 -- a closing that waits for an event is looked at again after this: a missed wake-up costs 30 s

function gates.paused_until(text) -- text: 'until_ms TAB by TAB reason'; nil when there is no pause or it is over
  if not text then return nil end
  local until_ms = tonumber(text:match('^%d+'))
  if until_ms == 0 then return now.ms + gates.RECHECK_MS end
  if until_ms > now.ms then return until_ms end
  return nil
end

function gates.queue(q)
  local until_ms = gates.paused_until(q.pause)
  if until_ms then return 'pause', until_ms end
  if q.concurrency and q.n >= q.concurrency then return 'queue_concurrency', now.ms + gates.RECHECK_MS end
  return nil
end

function gates.share_cap(q, o) -- jobs that the org's share of the queue's slots comes to, at least 1; nil when unset
  local slots = q.concurrency or q.slots
  if not o.limits.share or slots == 0 then return nil end
  return math.max(1, math.ceil(o.limits.share * slots - 1e-9))
end

function gates.org(q, o)
  local until_ms = gates.paused_until(o.pause)
  if until_ms then return 'pause', until_ms end
  local limits = o.limits
  if limits.cap and o.n >= limits.cap then return 'org_concurrency', now.ms + gates.RECHECK_MS end
  local share = gates.share_cap(q, o)
  if share and o.n >= share then return 'org_share', now.ms + gates.RECHECK_MS end
  if limits.interval then
    -- GCRA. A clock that stepped back must not close the gate for longer than the burst.
    o.t = math.min(o.t, now.us + limits.burst * limits.interval)
    local allowed_us = o.t - (limits.burst - 1) * limits.interval
    if allowed_us > now.us then return 'org_rate', math.ceil(allowed_us / 1000) end
  end
  return nil
end

function gates.take_rate(o)
  if o.limits.interval then o.t = math.max(o.t, now.us) + o.limits.interval end
end
