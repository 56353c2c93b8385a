-- snapshot: the live picture of a queue, or of one org in it.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue   3 org ('' = the queue)
-- RETURNS flat list of field, value
-- COST    O(lanes of the org)
-- KEEPS   reads only

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/gates"
--- @keys queue org gates lane ring rings scheduled timers depth

now.set(ARGV[1])
local queue, org = ARGV[2], ARGV[3]
local q = state.queue(queue)
local out = { 'now_ms', fmt(now.ms) }

local function say(field, value)
  out[#out + 1] = field
  out[#out + 1] = type(value) == 'number' and fmt(value) or value or ''
end

if org == '' then
  local gate, until_ms = gates.queue(q)
  say('gate', gate)
  say('closed_until_ms', until_ms)
  say('pause', q.pause)
  say('depth', redis.call('LLEN', key.depth(queue)))
  say('concurrency', q.concurrency)
  say('timers', redis.call('ZCARD', key.timers(queue)))
  local waiting, oldest = 0, nil
  for _, resource in ipairs(redis.call('ZRANGE', key.rings(queue), 0, 99)) do
    waiting = waiting + redis.call('ZCARD', key.ring(queue, resource))
    for _, name in ipairs(redis.call('ZRANGE', key.ring(queue, resource), 0, 9)) do
      local first = redis.call('ZRANGE', key.lane(queue, resource, name), 0, 0, 'WITHSCORES')[2]
      if first and (not oldest or tonumber(first) < oldest) then oldest = tonumber(first) end
    end
  end
  say('orgs_waiting', waiting)
  say('oldest_rank_ms', oldest)
  local state = redis.call('HGETALL', key.queue(queue))
  for i = 1, #state, 2 do say(state[i], state[i + 1]) end
  return out
end

local o = state.org(q, org)
local ready = 0
for _, field in ipairs(redis.call('HKEYS', key.org(queue, org))) do
  if field:sub(1, 2) == 'l:' then ready = ready + redis.call('ZCARD', key.lane(queue, field:sub(3), org)) end
end
local gate, until_ms = gates.org(q, o)
say('ready', ready)
say('scheduled', redis.call('ZCARD', key.scheduled(queue, org)))
say('in_flight', o.n)
say('gate', gate)
say('closed_until_ms', until_ms)
say('pause', o.pause)
say('weight', o.limits.weight)
say('virtual_time_ms', o.v)
say('share_cap', gates.share_cap(q, o))
if o.limits.interval then -- whole jobs that could start now
  local ahead = math.max(0, o.t - now.us)
  say('rate_left', math.max(0, math.floor((o.limits.burst * o.limits.interval - ahead) / o.limits.interval)))
end
say('limits', redis.call('HGET', key.gates(queue), '=' .. org))
return out
