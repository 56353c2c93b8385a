-- Resources: outside things with limits of their own, shared by all queues and orgs. A closed resource takes its ring
-- out of a queue by one write and comes back by one, however many orgs wait in it. What is known of a resource is kept
-- in state.resources.

--- @include "lib/bells"
--- @include "lib/pauses"
--- @include "lib/breaker"

local resources = {}

resources.IDLE_KEPT_MS = 600000 -- of a resource without settings; a rate or a breaker always has some

local NUMBERS = { n = 'n', t = 't', until_ms = 'until', since = 'since', opens = 'opens', round = 'round', out = 'out',
  passed = 'passed', window = 'window', good = 'good', bad = 'bad', good0 = 'good0', bad0 = 'bad0' }
local TEXTS = { state = 'state', reason = 'reason', by = 'by', closed = 'closed' }

local function read_settings(r, text)
  -- 'interval_us burst cap;share calls window_ms open_ms longest_ms probes', '-' for none
  local interval, burst, cap, rest = text:match('^(%S+) (%S+) (%S+);(.*)$')
  r.interval, r.burst, r.cap = tonumber(interval), tonumber(burst), tonumber(cap)
  local share, calls, window_ms, open_ms, longest_ms, probes = rest:match('^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  if share then
    r.breaker = { share = tonumber(share), calls = tonumber(calls), window_ms = tonumber(window_ms),
      open_ms = tonumber(open_ms), longest_ms = tonumber(longest_ms), probes = tonumber(probes) }
  end
  r.any = true
end

function resources.of(name)
  local r = state.resources[name]
  if r then return r end
  local stored, was = redis.call('HGETALL', key.resource(name)), {}
  for i = 1, #stored, 2 do was[stored[i]] = stored[i + 1] end
  r = { name = name, was = was, sums = {}, floors = {}, pause = was['!'] }
  for field, stored_as in pairs(NUMBERS) do r[field] = tonumber(was[stored_as]) or 0 end
  for field, stored_as in pairs(TEXTS) do r[field] = was[stored_as] or '' end
  if was['='] then read_settings(r, was['=']) end
  state.resources[name] = r
  return r
end

function resources.is_closed(q, r) return r.closed ~= '' and ('\t' .. r.closed):find('\t' .. q.name .. '\t', 1, true) ~= nil end

function resources.floor(q, r) -- an org that waited while the ring was out starts at the queue's time of its return
  return r.floors[q.name] or tonumber(r.was['floor:' .. q.name]) or 0
end

local function sum(q, r) -- weight and number of the orgs that are active in the queue for this resource alone
  local found = r.sums[q.name]
  if not found then
    found = { W = tonumber(r.was['W:' .. q.name]) or 0, A = tonumber(r.was['A:' .. q.name]) or 0 }
    r.sums[q.name] = found
  end
  return found
end

function resources.count(q, name, weight, number) -- such an org came, left, or changed its weight
  local r = resources.of(name)
  local s = sum(q, r)
  s.W, s.A = s.W + weight, s.A + number
  if s.A <= 0 then s.W, s.A = 0, 0 end
  if not resources.is_closed(q, r) then q.W, q.A = q.W + weight, q.A + number end
end

function resources.gate(r) -- returns the gate that is closed and until when; nil when all are open
  local until_ms = pauses.until_ms(r.pause)
  if until_ms then return 'pause', until_ms end
  until_ms = breaker.gate(r)
  if until_ms then return 'resource_breaker', until_ms end
  if r.cap and r.n >= r.cap then return 'resource_concurrency', now.ms + pauses.RECHECK_MS end
  if r.interval then
    r.t = math.min(r.t, now.ms * 1000 + r.burst * r.interval) -- as for an org's rate
    local allowed_ms = math.ceil((r.t - (r.burst - 1) * r.interval) / 1000)
    if allowed_ms > now.ms then return 'resource_rate', allowed_ms end
  end
end

function resources.is_near(r, parts) -- as gates.is_near; a breaker is always: what is claimed would still call
  if not r.any then return false end
  if r.breaker or r.cap and (r.n + 1) * parts > r.cap then return true end
  return r.interval and (math.max(0, r.t - now.ms * 1000) / r.interval + 1) * parts > r.burst
end

function resources.close(q, r, until_ms)
  if not resources.is_closed(q, r) then
    r.closed = r.closed .. q.name .. '\t'
    local s = sum(q, r)
    q.W, q.A = q.W - s.W, q.A - s.A
  end
  redis.call('ZREM', key.rings(q.name), r.name)
  redis.call('ZADD', key.timers(q.name), until_ms, 'r' .. r.name)
  bells.note_timer(q, until_ms)
end

function resources.open(r) -- in every queue; at their heads the claims meet the gates as they are now
  local closed = r.closed
  r.closed = ''
  for queue in closed:gmatch('([^\t]+)\t') do
    local q = state.queue(queue)
    local s = sum(q, r)
    q.W, q.A = q.W + s.W, q.A + s.A
    redis.call('ZREM', key.timers(queue), 'r' .. r.name)
    local head = tonumber(redis.call('ZRANGE', key.ring(queue, r.name), 0, 0, 'WITHSCORES')[2])
    r.floors[queue] = q.V
    if head then
      redis.call('ZADD', key.rings(queue), math.max(head, q.V), r.name)
      q.bell = true
    end
  end
end

function resources.take(r) -- a job was claimed; returns what its lease notes for the breaker
  r.n = r.n + 1
  if r.interval then r.t = math.max(r.t, now.ms * 1000) + r.interval end
  return breaker.started(r)
end

function resources.ended(name, flags, verdict) -- its lease is over
  local r = resources.of(name)
  r.n = math.max(0, r.n - 1)
  breaker.ended(r, flags, verdict)
  if r.closed == '' then return end
  local gate, until_ms = resources.gate(r)
  if not gate then
    resources.open(r)
  else -- its ring may be out for want of a slot or a place for a probe, and another gate holds it now, for less long
    for queue in r.closed:gmatch('([^\t]+)\t') do
      if redis.call('ZADD', key.timers(queue), 'LT', 'CH', until_ms, 'r' .. r.name) == 1 then
        bells.note_timer(state.queue(queue), until_ms)
      end
    end
  end
end

function resources.panic(r, until_ms, reason, by)
  breaker.open(r, until_ms, reason, by)
end

function resources.calm(r) breaker.close(r) end

function resources.changed(r) -- its settings: at its head a claim meets what holds now
  breaker.changed(r)
  if r.closed ~= '' then resources.open(r) end
end

function resources.breaker_gate(r) return breaker.gate(r) end

function resources.calls(r) return breaker.calls(r) end -- good and bad ones in the window that ends now

local function idle_ms(r) -- how long it is kept when nothing happens; nil: until something does
  if r.n > 0 or r.state ~= '' or r.any then return nil end
  local paused_ms = r.pause and pauses.left_ms(r.pause) or 0
  return paused_ms < math.huge and math.max(resources.IDLE_KEPT_MS, paused_ms) or nil
end

local function save(r)
  local hash, was, fresh, idle = key.resource(r.name), r.was, {}, idle_ms(r)
  local function put(field, value, default)
    if tostring(value) ~= (was[field] or tostring(default)) then
      fresh[#fresh + 1] = field
      fresh[#fresh + 1] = value
    end
  end
  for field, stored_as in pairs(NUMBERS) do put(stored_as, r[field], 0) end
  for field, stored_as in pairs(TEXTS) do put(stored_as, r[field], '') end
  for queue, s in pairs(r.sums) do
    put('W:' .. queue, s.W, 0)
    put('A:' .. queue, s.A, 0)
  end
  for queue, v in pairs(r.floors) do put('floor:' .. queue, v, 0) end
  if fresh[1] then redis.call('HSET', hash, unpack(fresh)) end
  if not next(was) and fresh[1] then redis.call('SADD', key.resources(), r.name) end
  for field, number in pairs(was) do
    local queue = field:match('^A:(.*)$')
    if queue and (r.sums[queue] and r.sums[queue].A or tonumber(number)) > 0 then idle = nil end
  end
  for _, s in pairs(r.sums) do if s.A > 0 then idle = nil end end
  if idle then
    redis.call('PEXPIRE', hash, idle)
  elseif not r.any then
    redis.call('PERSIST', hash)
  end
end

function state.save_resources()
  for _, r in pairs(state.resources) do save(r) end
end
