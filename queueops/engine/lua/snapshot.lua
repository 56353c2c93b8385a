-- snapshot: the live picture of a queue, or of one org in it.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue   3 org ('' = the queue)
-- RETURNS flat list of field, value
-- COST    O(lanes of the org); of a queue at most 160 lanes are looked at for its oldest job
-- KEEPS   reads only

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/gates"
--- @include "lib/head"

local RINGS_LOOKED_AT = 16
local ORGS_LOOKED_AT = 10

now.set(ARGV[1])
local queue, org = ARGV[2], ARGV[3]
local q = state.queue(queue)
local out = {}

local function say(field, value) -- fractions leave as text: a number in a reply is cut to an integer
  out[#out + 1] = field
  out[#out + 1] = type(value) == 'number' and string.format('%.17g', value) or value or ''
end

local function least(a, b) return a and (not b or a < b) and a or b end

local function oldest() -- rank, and since when it is ready: the oldest first job of the orgs that come next
  local rank, since
  for _, resource in ipairs(redis.call('ZRANGE', key.rings(queue), 0, RINGS_LOOKED_AT - 1)) do
    for _, name in ipairs(redis.call('ZRANGE', key.ring(queue, resource), 0, ORGS_LOOKED_AT - 1)) do
      local first = redis.call('ZRANGE', key.lane(queue, resource, name), 0, 0, 'WITHSCORES')
      local job = first[1] and head.parse(redis.call('GETRANGE', key.job(queue, first[1]), 0, head.BYTES))
      if job then
        local first_rank = tonumber(first[2])
        rank = least(first_rank, rank)
        since = least(head.ready_since(first_rank, job.patience, job.first), since)
      end
    end
  end
  return rank, since
end

say('now_ms', now.ms)
if org == '' then
  local gate, until_ms = 'pause', pauses.until_ms(q.pause)
  if not until_ms and q.concurrency and q.n >= q.concurrency then
    gate, until_ms = 'queue_concurrency', now.ms + pauses.RECHECK_MS
  end
  if not until_ms then gate = nil end
  say('gate', gate)
  say('closed_until_ms', until_ms)
  say('pause', gate == 'pause' and q.pause)
  say('blocked', redis.call('ZCARD', key.blocked(queue)))
  say('depth', redis.call('LLEN', key.depth(queue)))
  say('concurrency', q.concurrency)
  local rank, since = oldest()
  say('oldest_rank_ms', rank)
  say('oldest_ready_ms', since)
  local stored = redis.call('HGETALL', key.queue(queue))
  for i = 1, #stored, 2 do say(stored[i], stored[i + 1]) end
  return out
end

local o = state.org(q, org)
local ready = 0
for resource in o.lanes:gmatch('(%S*) ') do ready = ready + redis.call('ZCARD', key.lane(queue, resource, org)) end
local gate, until_ms = gates.org(q, o)
local l = limits.of(q, o)
say('ready', ready)
say('scheduled', redis.call('ZCARD', key.scheduled(queue, org)))
say('in_flight', o.n)
say('gate', gate)
say('closed_until_ms', until_ms)
say('pause', gate == 'pause' and o.pause)
say('weight', l.weight)
say('virtual_time_ms', o.v)
say('share_cap', gates.share_cap(q, l))
if l.interval then -- whole jobs that could start now
  local ahead_us = math.max(0, math.min(o.t - now.ms * 1000, l.burst * l.interval))
  say('rate_left', math.floor((l.burst * l.interval - ahead_us) / l.interval))
end
say('limits', redis.call('HGET', key.gates(queue), '=' .. org))
return out
