-- Leases: what one process holds. Slots are counted where leases are written and dropped, so a crash can not leak one.

--- @include "lib/record"
--- @include "lib/fairness"

local leases = { found = {}, dropped = {} } -- by token: the lease, false when it has ended; by holder: tokens to delete

function leases.read(tokens) -- many leases at once; find() then knows them
  local by_holder = {}
  for _, token in ipairs(tokens) do
    local holder = token:match('^[^/]*')
    local list = by_holder[holder]
    if not list then
      list = {}
      by_holder[holder] = list
    end
    list[#list + 1] = token
  end
  for holder, list in pairs(by_holder) do
    local lines = redis.call('HMGET', key.held(holder), unpack(list))
    for i, token in ipairs(list) do
      local l = lines[i] and record.read(lines[i])
      if l then l.holder = holder end
      leases.found[token] = l
    end
  end
end

function leases.find(token) -- the lease, or nil when the token holds nothing
  if leases.found[token] == nil then leases.read({ token }) end
  return leases.found[token] or nil
end

local function slot_freed(q, o) -- rare where nothing is limited, so its parts are put together only here
  if not leases.open then
    --- @include "lib/lanes"
    leases.open, leases.has_work = lanes.open, bells.has_work
  end
  if o.closed == 'org_concurrency' or o.closed == 'org_share' then leases.open(q, o) end
  if q.concurrency then q.bell = q.bell or leases.has_work(q) end
end

function leases.finish(token, l, used, verdict) -- frees the slots; `used`: ms (or units) of work to charge for
  -- verdict: what the run says of its resource: 'good' | 'bad' | nil
  local q = state.queue(l.queue)
  local o = state.org(q, l.org)
  leases.found[token] = false
  local dropped = leases.dropped[l.holder]
  if not dropped then
    dropped = {}
    leases.dropped[l.holder] = dropped
  end
  dropped[#dropped + 1] = token
  fairness.work_done(q, l, used)
  fairness.charge_run(q, o, l, used)
  o.n, q.n = math.max(0, o.n - 1), math.max(0, q.n - 1)
  if l.resource ~= '' then state.resource_rules().ended(l.resource, record.all(l).flags, verdict) end
  if q.concurrency or o.closed == 'org_concurrency' or o.closed == 'org_share' then slot_freed(q, o) end
  return q, o
end

function leases.send()
  for holder, tokens in pairs(leases.dropped) do redis.call('HDEL', key.held(holder), unpack(tokens)) end
  leases.dropped = {}
end

state.unsent[#state.unsent + 1] = leases.send
