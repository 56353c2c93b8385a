-- Gates: each answers open (nil) or closed (its name and until when). Nothing is taken before all are open.

--- @include "lib/limits"
--- @include "lib/pauses"

local gates = {}

gates.PARTS = 4 -- a limit of which less than one part is used holds nobody back

function gates.share_cap(q, l) -- jobs that a share of the queue's slots comes to, at least 1; nil when unset
  return l.share and math.max(1, math.ceil(l.share * (q.concurrency or q.slots) - 1e-9))
end

function gates.is_near(q, o) -- whether more than a quarter of one of its limits would be in use with one more job
  local l = o.limits
  if not l.any then return false end
  local used, share = (o.n + 1) * gates.PARTS, gates.share_cap(q, l)
  if l.cap and used > l.cap or share and used > share then return true end
  return l.interval and (math.max(0, o.t - now.ms * 1000) / l.interval + 1) * gates.PARTS > l.burst
end

function gates.org(q, o)
  local l = limits.of(q, o)
  local gate, until_ms = nil, pauses.until_ms(o.pause)
  if until_ms then return 'pause', until_ms end
  if not l.any then return nil end
  local share = gates.share_cap(q, l)
  if l.interval then -- a clock that stepped back must not close the gate for longer than the burst
    o.t = math.min(o.t, now.ms * 1000 + l.burst * l.interval)
  end
  -- GCRA in whole ms: a claim is judged by the very time that is stamped on it.
  local allowed_ms = l.interval and math.ceil((o.t - (l.burst - 1) * l.interval) / 1000) or 0
  if l.cap and o.n >= l.cap then
    gate, until_ms = 'org_concurrency', now.ms + pauses.RECHECK_MS
  elseif share and o.n >= share then
    gate, until_ms = 'org_share', now.ms + pauses.RECHECK_MS
  elseif allowed_ms > now.ms then
    gate, until_ms = 'org_rate', allowed_ms
  end
  if gate and l.until_ms then until_ms = math.min(until_ms, l.until_ms) end -- limits that end open what they closed
  return gate, until_ms
end
