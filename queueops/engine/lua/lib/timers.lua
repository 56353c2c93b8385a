-- Timers: whatever time alone changes in a queue. An org's due jobs are promoted a few at a time, then the org
-- goes behind the others, so one org's million due jobs do not keep the rest waiting.

--- @include "lib/jobs"
--- @include "lib/rings"
--- @keys timers scheduled job gates

local timers = {}

timers.A_CALL = 64
timers.AN_ORG = 16
timers.PROMOTED_A_CALL = 128

function timers.promote(q, name) -- returns how many, and whether the org has more that are due
  local scheduled = key.scheduled(q.name, name)
  local due = redis.call('ZRANGEBYSCORE', scheduled, '-inf', fmt(now.ms), 'WITHSCORES', 'LIMIT', 0, timers.AN_ORG)
  local o = state.org(q, name)
  for i = 1, #due, 2 do
    local tag = due[i]
    redis.call('ZREM', scheduled, tag)
    state.count(q, 'scheduled', -1)
    local head = jobs.parse(redis.call('GETRANGE', key.job(q.name, tag), 0, jobs.HEAD_BYTES))
    if head then
      rings.push(q, o, head.resource, tag, jobs.rank(tonumber(due[i + 1]), head.patience, head.deadline))
    end
  end
  local next_due = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')[2]
  if next_due then
    redis.call('ZADD', key.timers(q.name), fmt(math.max(tonumber(next_due), now.ms)), 's' .. name)
  else
    redis.call('ZREM', key.timers(q.name), 's' .. name)
  end
  return #due / 2, next_due and tonumber(next_due) <= now.ms
end

function timers.run(q) -- returns true when more is due than one call handles
  local due = redis.call('ZRANGEBYSCORE', key.timers(q.name), '-inf', fmt(now.ms), 'LIMIT', 0, timers.A_CALL)
  local promoted, more = 0, #due == timers.A_CALL
  for _, entry in ipairs(due) do
    local kind, name = entry:sub(1, 1), entry:sub(2)
    if kind == 's' then
      local number, rest = timers.promote(q, name)
      promoted, more = promoted + number, more or rest
      if promoted >= timers.PROMOTED_A_CALL then return true end
    elseif kind == 'o' then
      local o = state.org(q, name)
      rings.reopen(q, o)
      redis.call('ZREM', key.timers(q.name), entry)
    else
      q.pause = false
      q.bell = true
      redis.call('HDEL', key.gates(q.name), '!')
      redis.call('ZREM', key.timers(q.name), entry)
    end
  end
  return more
end
