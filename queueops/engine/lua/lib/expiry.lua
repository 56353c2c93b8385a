-- Reaping, shared by claim (a few) and reap (many).

--- @include "lib/giveback"
--- @keys held holders workers slots pulse

local expiry = {}

expiry.PULSE_GAP_MS = 5000 -- older than this, or ahead of the clock: the broker was away or its clock jumped

function expiry.pulse_broken(last) return not last or now.ms - last > expiry.PULSE_GAP_MS or last > now.ms + 1000 end

function expiry.may_reap() -- after an absence of the broker the living renew first
  local p = redis.call('HMGET', key.pulse(), 'last', 'grace')
  return not expiry.pulse_broken(tonumber(p[1])) and now.ms >= (tonumber(p[2]) or 0)
end

function expiry.unregister(holder)
  local info = redis.call('HGET', key.workers(), holder)
  for _, queue in ipairs(info and cjson.decode(info).queues or {}) do
    redis.call('HDEL', key.slots(queue), holder)
  end
  redis.call('HDEL', key.workers(), holder)
  redis.call('ZREM', key.holders(), holder)
end

function expiry.reap(limit) -- returns how many leases it ended, at most `limit`
  local reaped = 0
  for _, holder in ipairs(redis.call('ZRANGEBYSCORE', key.holders(), '-inf', fmt(now.ms), 'LIMIT', 0, 8)) do
    local held = key.held(holder)
    -- HRANDFIELD with a count reads only that many; order does not matter, each job has its rank.
    local found = redis.call('HRANDFIELD', held, limit - reaped, 'WITHVALUES')
    for i = 1, #found, 2 do
      leases.give_back(found[i], leases.parse(found[i + 1]), true, 0, leases.worker_lost(holder))
      reaped = reaped + 1
    end
    if redis.call('EXISTS', held) == 1 then return reaped end
    expiry.unregister(holder)
    if reaped >= limit then return reaped end
  end
  return reaped
end
