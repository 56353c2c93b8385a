-- resource: the live picture of a resource.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 resource
-- RETURNS flat list of field, value; the jobs that wait for it under 'waiting:<queue>', its orgs under 'orgs:<queue>'
-- COST    O(queues); of each queue the lanes of at most 500 orgs are counted
-- KEEPS   reads only

--- @include "lib/clock"
--- @include "lib/state"

local ORGS_COUNTED = 500

now.set(ARGV[1])
local rules = state.resource_rules()
local r = rules.of(ARGV[2])
local out = {}

local function say(field, value) -- fractions leave as text: a number in a reply is cut to an integer
  out[#out + 1] = field
  out[#out + 1] = type(value) == 'number' and string.format('%.17g', value) or value or ''
end

local gate, until_ms = rules.gate(r)
local good, bad = rules.calls(r)
say('now_ms', now.ms)
say('in_flight', r.n)
say('gate', gate)
say('closed_until_ms', until_ms)
say('pause', gate == 'pause' and r.pause)
say('settings', r.was['='])
say('state', r.state)
say('since_ms', r.since)
say('until_ms', r.until_ms)
say('reason', r.reason)
say('by', r.by)
say('opens', r.opens)
say('good', good)
say('bad', bad)
say('probes_out', r.out)
say('probes_passed', r.passed)
if r.interval then -- whole jobs that could start now
  local ahead_us = math.max(0, math.min(r.t - now.ms * 1000, r.burst * r.interval))
  say('rate_left', math.floor((r.burst * r.interval - ahead_us) / r.interval))
end
for _, queue in ipairs(redis.call('SMEMBERS', key.queues())) do
  local orgs = redis.call('ZCARD', key.ring(queue, r.name))
  if orgs > 0 then
    local jobs = 0
    for _, org in ipairs(redis.call('ZRANGE', key.ring(queue, r.name), 0, ORGS_COUNTED - 1)) do
      jobs = jobs + redis.call('ZCARD', key.lane(queue, r.name, org))
    end
    say('orgs:' .. queue, orgs)
    say('waiting:' .. queue, jobs)
  end
end
return out
