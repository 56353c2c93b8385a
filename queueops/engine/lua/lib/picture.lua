-- Picture: what is to be seen of one org in a queue, as a flat list of field, value.

--- @include "lib/gates"
--- @include "lib/head"

local picture = {}

function picture.add(out, field, value) -- fractions leave as text: a number in a reply is cut to an integer
  out[#out + 1] = field
  out[#out + 1] = type(value) == 'number' and string.format('%.17g', value) or value or ''
end

function picture.ready_since(queue, resource, org) -- rank of a lane's first job, and since when that is ready
  local first = redis.call('ZRANGE', key.lane(queue, resource, org), 0, 0, 'WITHSCORES')
  local job = first[1] and head.parse(redis.call('GETRANGE', key.job(queue, first[1]), 0, head.BYTES))
  if not job then return nil end
  local rank = tonumber(first[2])
  return rank, head.ready_since(rank, job.patience, job.first)
end

function picture.org(q, org)
  local out, o = {}, state.org(q, org)
  local function say(field, value) picture.add(out, field, value) end
  local ready, oldest = 0, nil
  for resource in o.lanes:gmatch('(%S*) ') do
    ready = ready + redis.call('ZCARD', key.lane(q.name, resource, org))
    local _, since = picture.ready_since(q.name, resource, org)
    if since and (not oldest or since < oldest) then oldest = since end
  end
  local gate, until_ms = gates.org(q, o)
  local l = limits.of(q, o)
  say('ready', ready)
  say('oldest_ready_ms', oldest)
  say('scheduled', redis.call('ZCARD', key.scheduled(q.name, org)))
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
  say('limits', redis.call('HGET', key.gates(q.name), '=' .. org))
  return out
end
