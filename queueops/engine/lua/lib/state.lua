-- State of queues and orgs, read once a script and written back once by flush().
-- A table here is the truth while the script runs: nothing else may write these hashes, except the l: fields.

--- @keys queue gates org

local state = { queues = {}, orgs = {} }

function state.limits_of(text)
  -- 'weight interval_us burst cap share until_ms', '-' for none, and after ';' the limits that follow.
  local first, rest = text:match('^([^;]*);?(.*)$')
  local weight, interval, burst, cap, share, until_ms = first:match('(%S+) (%S+) (%S+) (%S+) (%S+) (%S+)')
  until_ms = tonumber(until_ms) or 0
  if until_ms > 0 and until_ms <= now.ms then
    if rest == '' then return nil end
    return state.limits_of(rest)
  end
  return {
    weight = tonumber(weight), interval = tonumber(interval), burst = tonumber(burst),
    cap = tonumber(cap), share = tonumber(share),
  }
end

function state.queue(name)
  local q = state.queues[name]
  if q then return q end
  local s = redis.call('HMGET', key.queue(name), 'V', 'W', 'A', 'n', 'slots')
  local g = redis.call('HMGET', key.gates(name), 'concurrency', 'fair_by', 'deliveries', 'exempt', '!', '=')
  q = {
    name = name, V = tonumber(s[1]) or 0, W = tonumber(s[2]) or 0, A = tonumber(s[3]) or 0,
    n = tonumber(s[4]) or 0, slots = tonumber(s[5]) or 0,
    concurrency = tonumber(g[1]), by_count = g[2] == 'count', deliveries = tonumber(g[3]) or 3,
    exempt = g[4], pause = g[5], default = g[6], counts = {}, bell = false,
  }
  state.queues[name] = q
  return q
end

function state.count(q, field, number)
  q.counts[field] = (q.counts[field] or 0) + number
end

function state.org(q, name)
  local id = q.name .. '\t' .. name
  local o = state.orgs[id]
  if o then return o end
  local s = redis.call('HMGET', key.org(q.name, name), 'v', 'n', 'r', 'k', 'a', 'c', 'u', 't')
  local g = redis.call('HMGET', key.gates(q.name), '=' .. name, '!' .. name)
  o = {
    queue = q, name = name, v = tonumber(s[1]) or 0, n = tonumber(s[2]) or 0, r = tonumber(s[3]) or 0,
    k = tonumber(s[4]) or 0, a = tonumber(s[5]) or 0, c = s[6] or '', u = tonumber(s[7]) or 0,
    t = tonumber(s[8]) or 0, pause = g[2],
  }
  local limits = g[1] and state.limits_of(g[1])
  if not limits and q.default and name ~= q.exempt then
    limits = state.limits_of(q.default)
  end
  o.limits = limits or { weight = 1 }
  o.limited = o.limits.interval or o.limits.cap or o.limits.share
  o.idle = o.a == 0 and o.k == 0
  state.orgs[id] = o
  return o
end

function state.flush()
  for _, o in pairs(state.orgs) do
    local q, weight = o.queue, o.limits.weight
    if o.r > 0 or o.n > 0 then -- active: its weight counts, at today's value
      if o.a == 0 then q.A = q.A + 1 end
      q.W = q.W + weight - o.a
      o.a = weight
    elseif o.a > 0 then
      q.A = q.A - 1
      q.W = q.W - o.a
      o.a = 0
    end
    local hash = key.org(q.name, o.name)
    redis.call('HSET', hash, 'v', fmt(o.v), 'n', o.n, 'r', o.r, 'k', o.k, 'a', fmt(o.a),
      'c', o.c, 'u', fmt(o.u), 't', fmt(o.t))
    if o.a == 0 and o.k == 0 then
      -- Its own time and its rate must outlive it long enough that leaving and coming back gains nothing.
      redis.call('PEXPIRE', hash, fmt(math.max(600000, math.ceil(o.t / 1000) - now.ms)))
    elseif o.idle then
      redis.call('PERSIST', hash)
    end
  end
  for _, q in pairs(state.queues) do
    if q.A <= 0 then q.A, q.W = 0, 0 end -- rounding must not pile up
    local hash = key.queue(q.name)
    redis.call('HSET', hash, 'V', fmt(q.V), 'W', fmt(q.W), 'A', q.A, 'n', q.n)
    for field, number in pairs(q.counts) do
      redis.call('HINCRBY', hash, field, fmt(math.floor(number + 0.5))) -- run times have fractions
    end
  end
end
