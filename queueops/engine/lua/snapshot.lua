-- snapshot: the live picture of a queue, or of one org in it.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue   3 org ('' = the queue)
-- RETURNS flat list of field, value
-- COST    O(lanes of the org); of a queue at most 160 lanes are looked at for its oldest job
-- KEEPS   reads only

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/picture"

local RINGS_LOOKED_AT = 16
local ORGS_LOOKED_AT = 10

now.set(ARGV[1])
local queue, org = ARGV[2], ARGV[3]
local q = state.queue(queue)
local out = {}

local function say(field, value) picture.add(out, field, value) end

local function least(a, b) return a and (not b or a < b) and a or b end

local function oldest() -- rank, and since when it is ready: the oldest first job of the orgs that come next
  local rank, since
  for _, resource in ipairs(redis.call('ZRANGE', key.rings(queue), 0, RINGS_LOOKED_AT - 1)) do
    for _, name in ipairs(redis.call('ZRANGE', key.ring(queue, resource), 0, ORGS_LOOKED_AT - 1)) do
      local first_rank, first_since = picture.ready_since(queue, resource, name)
      rank, since = least(first_rank, rank), least(first_since, since)
    end
  end
  return rank, since
end

if org ~= '' then
  out = picture.org(q, org)
  say('now_ms', now.ms)
  return out
end
say('now_ms', now.ms)
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
