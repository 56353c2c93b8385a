-- doctor_leases: compare the leases with the processes and the resources that they belong to, and mend on request.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 'check' | 'repair'   3 number of processes that follow
--         then names of processes that have leases, and then names of resources
-- RETURNS number of leases, then 4 a finding: kind, of what, as it should be, as it is
-- COST    O(leases + workers + slots that code holds + resources)
-- KEEPS   no lease is ended here: an unlisted process is listed as one whose leases lapse now, for the beats to reap

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/record"
--- @include "lib/workers"

now.set(ARGV[1])
local repair, processes = ARGV[2] == 'repair', tonumber(ARGV[3])
local out, leases, of_resource = { 0 }, 0, {}

local function differs(kind, what, wanted, found)
  local n = #out
  out[n + 1], out[n + 2], out[n + 3], out[n + 4] = kind, what, tostring(wanted), tostring(found)
  return repair
end

local seen = {}
local function look_at(holder)
  if seen[holder] then return end
  seen[holder] = true
  local lines = redis.call('HVALS', key.held(holder))
  leases = leases + #lines
  for _, line in ipairs(lines) do
    local l = record.read(line)
    if l.resource ~= '' then of_resource[l.resource] = (of_resource[l.resource] or 0) + 1 end
  end
  if lines[1] and not redis.call('ZSCORE', key.holders(), holder)
    and differs('unlisted process', holder, 'an expiry', #lines .. ' leases that nobody would reap') then
    redis.call('ZADD', key.holders(), now.ms, holder)
  end
end

if repair then now.drainable() end
for _, holder in ipairs(redis.call('ZRANGE', key.holders(), 0, -1)) do look_at(holder) end
for i = 4, 3 + processes do look_at(ARGV[i]) end
for i = 4 + processes, #ARGV do of_resource[ARGV[i]] = of_resource[ARGV[i]] or 0 end
out[1] = leases
for _, holder in ipairs(redis.call('HKEYS', key.workers())) do -- its slots would count for the shares of orgs for ever
  if not redis.call('ZSCORE', key.holders(), holder) and differs('registration', holder, 'a process with an expiry', 'none') then
    workers.unregister(holder)
  end
end
for _, queue in ipairs(redis.call('SMEMBERS', key.queues())) do
  for _, holder in ipairs(redis.call('HKEYS', key.slots(queue))) do
    if redis.call('HEXISTS', key.workers(), holder) == 0 and differs('slots of a worker', holder .. ' ' .. queue, 'registered',
      'unknown') then
      redis.call('HDEL', key.slots(queue), holder)
    end
  end
end
for _, slot in ipairs(redis.call('ZRANGE', key.taken(), 0, -1)) do -- held by code
  local resource = slot:match('^[^\t]*')
  of_resource[resource] = (of_resource[resource] or 0) + 1
end
for resource, wanted in pairs(of_resource) do
  local found = tonumber(redis.call('HGET', key.resource(resource), 'n')) or 0
  if found ~= wanted and differs('slots of a resource', resource, wanted, found) then
    redis.call('HSET', key.resource(resource), 'n', wanted)
    for queue in ((redis.call('HGET', key.resource(resource), 'closed') or '')):gmatch('([^\t]+)\t') do
      redis.call('ZADD', key.timers(queue), 'XX', now.ms, 'r' .. resource) -- a freed slot may open it
    end
  end
end
if repair then state.flush() end
return out
