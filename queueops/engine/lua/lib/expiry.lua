-- Reaping, shared by claim (a few) and reap (many).

--- @include "lib/giveback"
--- @include "lib/workers"

local expiry = {}

expiry.PULSE_GAP_MS = 5000 -- older than this, or ahead of the clock: the broker was away or its clock jumped
expiry.PULSE_AHEAD_MS = 1000
expiry.HOLDERS_A_CALL = 8

function expiry.pulse_broken(last)
  return not last or now.ms - last > expiry.PULSE_GAP_MS or last > now.ms + expiry.PULSE_AHEAD_MS
end

function expiry.may_reap() -- after an absence of the broker the living renew first
  local p = redis.call('HMGET', key.pulse(), 'last', 'grace')
  return not expiry.pulse_broken(tonumber(p[1])) and now.ms >= (tonumber(p[2]) or 0)
end

local function lost_with(holder) -- the detail of a job whose process went silent
  return cjson.encode({ reason = 'worker_lost', error = 'WorkerLost', worker = holder,
    message = 'The worker stopped renewing its lease: killed, frozen or cut off.' })
end

function expiry.reap(limit) -- returns how many leases it ended, at most `limit`
  local reaped, lapsed = 0, redis.call('ZRANGEBYSCORE', key.holders(), '-inf', now.ms, 'LIMIT', 0, expiry.HOLDERS_A_CALL)
  for _, holder in ipairs(lapsed) do
    -- HRANDFIELD reads only so many; the order does not matter, each job has its rank.
    local tokens = redis.call('HRANDFIELD', key.held(holder), limit - reaped)
    leases.read(tokens)
    for _, token in ipairs(tokens) do leases.give_back(token, leases.find(token), true, 0, lost_with(holder), true) end
    reaped = reaped + #tokens
    leases.send() -- the next question is about what Redis holds
    if redis.call('EXISTS', key.held(holder)) == 1 then return reaped end
    workers.unregister(holder)
    if reaped >= limit then return reaped end
  end
  return reaped
end
