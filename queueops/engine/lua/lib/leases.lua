-- Leases: what one process holds. Slots are counted where leases are written and dropped, so a crash can not leak one.

--- @include "lib/record"
--- @include "lib/lanes"
--- @include "lib/fairness"

local leases = { found = {}, dropped = {} } -- by holder: leases read (false: ended in this script), tokens to delete

function leases.holder(token) return token:match('^(.*)/%d+/%d+$') or '' end

function leases.read(tokens) -- many leases at once; find() then knows them
  local by_holder = {}
  for _, token in ipairs(tokens) do
    local holder = leases.holder(token)
    local list = by_holder[holder]
    if not list then
      list = {}
      by_holder[holder] = list
    end
    list[#list + 1] = token
  end
  for holder, list in pairs(by_holder) do
    local texts = redis.call('HMGET', key.held(holder), unpack(list))
    for i, token in ipairs(list) do leases.found[token] = texts[i] and record.read(texts[i]) end
  end
end

function leases.find(token) -- the lease, or nil when the token holds nothing
  local l = leases.found[token]
  if l == nil then
    local text = redis.call('HGET', key.held(leases.holder(token)), token)
    l = text and record.read(text)
    leases.found[token] = l
  end
  return l or nil
end

function leases.finish(token, l, used) -- frees the slots; `used`: ms (or units) of work to charge for
  local q = state.queue(l.queue)
  local o = state.org(q, l.org)
  leases.found[token] = false
  local holder = leases.holder(token)
  local dropped = leases.dropped[holder] or {}
  leases.dropped[holder] = dropped
  dropped[#dropped + 1] = token
  fairness.work_done(q, l, used)
  fairness.charge_run(q, o, l, used)
  o.n, q.n = math.max(0, o.n - 1), math.max(0, q.n - 1)
  if o.closed == 'org_concurrency' or o.closed == 'org_share' then lanes.open(q, o) end
  if q.concurrency then q.bell = true end
  return q, o
end

function leases.send()
  for holder, tokens in pairs(leases.dropped) do redis.call('HDEL', key.held(holder), unpack(tokens)) end
  leases.dropped = {}
end

state.unsent[#state.unsent + 1] = leases.send
