-- Limits of an org, as they hold at this moment.

local limits = { NONE = { weight = 1 } }

function limits.parse(text)
  -- 'weight interval_us burst cap share until_ms', '-' for none, and after ';' the limits that follow.
  local weight, interval, burst, cap, share, until_ms, rest =
    text:match('^(%S+) (%S+) (%S+) (%S+) (%S+) (%d+);?(.*)$')
  until_ms = tonumber(until_ms)
  if until_ms > 0 and until_ms <= now.ms then
    return rest ~= '' and limits.parse(rest) or nil
  end
  local l = {
    weight = tonumber(weight), interval = tonumber(interval), burst = tonumber(burst),
    cap = tonumber(cap), share = tonumber(share), until_ms = until_ms > 0 and until_ms or nil,
  }
  l.any = l.interval or l.cap or l.share
  return l
end

function limits.of(q, o) -- read when a gate or a weight asks for them: a settle of an active org does not
  if o.limits then return o.limits end
  local found
  if q.has_orgs and o.own ~= '0' then -- most orgs have none: looked up once, and told by whoever gives them some
    local own = redis.call('HMGET', key.gates(q.name), '=' .. o.name, '!' .. o.name)
    o.own = (own[1] or own[2]) and '1' or '0'
    o.pause = own[2]
    found = own[1] and limits.parse(own[1])
  end
  if not found and q.default and o.name ~= q.exempt then
    if q.default_limits == nil then q.default_limits = limits.parse(q.default) or false end
    found = q.default_limits
  end
  o.limits = found or limits.NONE
  return o.limits
end
