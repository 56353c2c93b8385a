-- Breaker: closes a resource that fails too often, lets a few probes through, and opens it again or waits longer.
-- r.state: '' (closed, calls pass) | 'open' (calls are held) | 'half' (only probes pass). Probes are counted by their
-- leases, which carry the round of probing they belong to, so a probe that is lost gives its place back.

local breaker = {}

breaker.BY_HAND = { share = 1, calls = 1, window_ms = 60000, open_ms = 30000, longest_ms = 900000, probes = 3 }

local function policy(r) return r.breaker or breaker.BY_HAND end -- panic by hand needs no settings

local function forget_calls(r) r.window, r.good, r.bad, r.good0, r.bad0 = 0, 0, 0, 0, 0 end

function breaker.open(r, until_ms, reason, by) -- until_ms 0: until ended by hand
  r.state, r.since, r.until_ms, r.reason, r.by = 'open', now.ms, until_ms, reason, by
  forget_calls(r)
end

function breaker.close(r)
  r.state, r.since, r.until_ms, r.reason, r.by, r.opens = '', now.ms, 0, '', '', 0
  forget_calls(r)
end

function breaker.changed(r) -- its policy: fewer probes may be asked for than have passed
  if r.state == 'half' and r.passed >= policy(r).probes then breaker.close(r) end
end

local function trip(r, reason) -- each opening in a row lasts twice as long
  local p = policy(r)
  r.opens = r.opens + 1
  breaker.open(r, now.ms + math.min(p.longest_ms, p.open_ms * 2 ^ math.min(r.opens - 1, 30)), reason, '')
end

function breaker.gate(r) -- until when it holds the next job; nil when that may go
  if r.state == 'open' then
    if r.until_ms == 0 then return now.ms + pauses.RECHECK_MS end
    if r.by == '' and r.since > now.ms then -- the clock stepped back: it lasts as long as it would have, from now on
      r.since, r.until_ms = now.ms, now.ms + r.until_ms - r.since
    end
    if r.until_ms > now.ms then return r.until_ms end
    r.state, r.since, r.round, r.out, r.passed = 'half', now.ms, r.round + 1, 0, 0
  end
  if r.state == 'half' and r.passed + r.out >= policy(r).probes then return now.ms + pauses.RECHECK_MS end
end

function breaker.started(r) -- a job was claimed; returns what its lease notes
  if r.state ~= 'half' then return '' end
  r.out = r.out + 1
  return 'p' .. r.round
end

local function roll(r, p) -- two windows, the older one fading out, stand for one that slides
  local at = now.ms - now.ms % p.window_ms
  if r.window == at then return end
  if r.window == at - p.window_ms then
    r.good0, r.bad0 = r.good, r.bad
  else
    r.good0, r.bad0 = 0, 0
  end
  r.window, r.good, r.bad = at, 0, 0
end

function breaker.calls(r) -- good and bad ones in the window that ends now
  local p = policy(r)
  roll(r, p)
  local left = 1 - (now.ms - r.window) / p.window_ms
  return r.good + r.good0 * left, r.bad + r.bad0 * left
end

local function probe_ended(r, verdict)
  r.out = math.max(0, r.out - 1)
  if verdict == 'bad' then
    trip(r, 'a probe failed')
  elseif verdict == 'good' then
    r.passed = r.passed + 1
    if r.passed >= policy(r).probes then breaker.close(r) end
  end
end

function breaker.ended(r, flags, verdict) -- verdict: 'good' | 'bad' | nil (says nothing about the resource)
  local round = tonumber(flags:match('p(%d+)'))
  if round then
    if r.state == 'half' and round == r.round then probe_ended(r, verdict) end
    return
  end
  -- While it is open only calls from before end, and what opened it is known already.
  if not verdict or not r.breaker or r.state ~= '' then return end
  roll(r, r.breaker)
  if verdict == 'good' then r.good = r.good + 1 else r.bad = r.bad + 1 end
  local good, bad = breaker.calls(r)
  if verdict == 'bad' and good + bad >= r.breaker.calls and bad / (good + bad) >= r.breaker.share then
    trip(r, string.format('%d of %d calls failed', math.floor(bad + 0.5), math.floor(good + bad + 0.5)))
  end
end
