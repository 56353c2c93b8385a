-- explain: where a job is, and everything that decides when it runs.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 task id
-- RETURNS flat list of field, value, 'gate' once for each gate; nothing when no job of that id waits or runs
-- COST    O(lanes of the org + log jobs); for a job that does not wait O(leases of all processes)
-- KEEPS   reads only

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/gates"
--- @include "lib/head"
--- @include "lib/means"
--- @include "lib/whereabouts"

local SAMPLED = 20 -- jobs before it that the mean run time is taken from
local PARENTS = 100 -- named of those that it waits for

now.set(ARGV[1])
local out = {}

local function say(field, value) -- fractions leave as text: a number in a reply is cut to an integer
  out[#out + 1] = field
  out[#out + 1] = type(value) == 'number' and string.format('%.17g', value) or value or ''
end

local function gate(name, subject, closed, until_ms, used, limit, who) -- until 0: until an event or a person opens it
  local function text(value) return value and string.format('%.17g', value) or '' end
  say('gate', table.concat({ name, subject, closed and '1' or '', closed and text(until_ms or 0) or '', text(used),
    text(limit), who or '' }, '\t'))
end

local function pause(subject, text)
  local closed = pauses.until_ms(text)
  gate('pause', subject, closed, closed and tonumber(text:match('^%d+')), nil, nil,
    closed and text:match('^%d+\t(.*)$'))
end

local function rate_gate(name, subject, l, t) -- as in gates.org
  local full = l.burst * l.interval
  local tat = math.min(t, now.ms * 1000 + full)
  local allowed_ms = math.ceil((tat - (l.burst - 1) * l.interval) / 1000)
  local left = math.floor((full - math.max(0, tat - now.ms * 1000)) / l.interval)
  gate(name, subject, allowed_ms > now.ms, allowed_ms, l.burst - left, l.burst)
  say(name .. '_left', left)
  say(name .. '_interval_us', l.interval)
end

local function resource_gates(name)
  local rules = state.resource_rules()
  local r = rules.of(name)
  pause('resource', r.pause)
  if r.breaker or r.state ~= '' then
    local ends_ms = r.until_ms -- asking makes half open what is due
    gate('resource_breaker', 'resource', rules.breaker_gate(r) ~= nil, r.state == 'open' and ends_ms or 0, nil, nil,
      r.by .. '\t' .. r.reason)
  end
  if r.cap then gate('resource_concurrency', 'resource', r.n >= r.cap, 0, r.n, r.cap) end
  if r.interval then rate_gate('resource_rate', 'resource', r, r.t) end
  say('resource_in_flight', r.n)
  say('resource_cap', r.cap)
end

local function say_gates(q, o, job)
  local l = limits.of(q, o)
  local share = gates.share_cap(q, l)
  pause('queue', q.pause)
  if q.concurrency then gate('queue_concurrency', 'queue', q.n >= q.concurrency, 0, q.n, q.concurrency) end
  pause('org', o.pause)
  if l.cap then gate('org_concurrency', 'org', o.n >= l.cap, 0, o.n, l.cap) end
  if share then gate('org_share', 'org', o.n >= share, 0, o.n, share) end
  if l.interval then rate_gate('org_rate', 'org', l, o.t) end
  if job.resource ~= '' then resource_gates(job.resource) end
  if q.has_tasks then
    local task = redis.call('HGET', key.gates(q.name), '#' .. job.task)
    if task then pause('task', task) end
  end
  say('cap', l.cap and share and math.min(l.cap, share) or l.cap or share)
  say('weight', l.weight)
end

local function mean_before(q, lane, place, task) -- of the jobs that come first; of its own task when it is the first
  local total, number = 0, 0
  local function add(name)
    if name and redis.call('HEXISTS', key.means(), name) == 1 then
      total, number = total + means.of(name), number + 1
    end
  end
  for _, tag in ipairs(place > 0 and redis.call('ZRANGE', lane, 0, math.min(place, SAMPLED) - 1) or {}) do
    local job = head.parse(redis.call('GETRANGE', key.job(q.name, tag), 0, head.BYTES))
    add(job and job.task)
  end
  if number == 0 then add(task) end
  return number > 0 and total / number or nil
end

local function say_place(q, o, job, tag, rank)
  local lane, before = key.lane(q.name, job.resource, o.name), 0
  local place = redis.call('ZRANK', lane, tag)
  for resource in o.lanes:gmatch('(%S*) ') do
    if resource ~= job.resource then
      before = before + redis.call('ZCOUNT', key.lane(q.name, resource, o.name), '-inf', '(' .. rank)
    end
  end
  say('place', place)
  say('lane_size', redis.call('ZCARD', lane))
  say('before_elsewhere', before)
  say('ring_place', redis.call('ZRANK', key.ring(q.name, job.resource), o.name))
  say('ring_size', redis.call('ZCARD', key.ring(q.name, job.resource)))
  say('mean_ms', mean_before(q, lane, place, job.task))
end

local entry = redis.call('HGET', key.ids(), ARGV[2])
if not entry then return out end
local queue, tag = entry:match('^([^\t]*)\t([^\t]*)')
local text = redis.call('GET', key.job(queue, tag))
local job = text and head.parse(text)
if not job then return out end
local q = state.queue(queue)
local o = state.org(q, job.org)
local where, at, aside = whereabouts.waiting(queue, tag, job)
say('now_ms', now.ms)
say('queue', queue)
say('tag', tag)
say('job', text)
if not where then
  local l, holder, token = whereabouts.lease(queue, tag)
  where = l and 'leased' or 'astray'
  if l then
    at = l.rank
    say('token', token)
    say('holder', holder)
    say('claimed_ms', l.claimed)
    say('lease_deliveries', l.deliveries)
    say('expires_ms', redis.call('ZSCORE', key.holders(), holder))
  end
end
say('state', where)
say('at_ms', at)
say('closed_by', o.closed)
say('looked_at_ms', o.closed ~= '' and redis.call('ZSCORE', key.timers(queue), 'o' .. o.name))
say('in_flight', o.n)
say('slots', q.slots)
say('concurrency', q.concurrency)
say('active_weight', q.W)
say('own_weight', o.a)
say_gates(q, o, job)
if where == 'blocked' then
  say('parents', redis.call('SCARD', key.parents(queue, tag)))
  for _, parent in ipairs(redis.call('SRANDMEMBER', key.parents(queue, tag), PARENTS)) do say('parent', parent) end
end
if where == 'ready' and not aside then say_place(q, o, job, tag, at) end
return out
