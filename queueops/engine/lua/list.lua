-- list: a page of the jobs that wait or run. The pages together are a picture taken over time, not at one moment.
-- KEYS    1 prefix
-- ARGV    1 cursor ('0' = from the start)   2 jobs looked at, about   3 queue   4 state   5 org   6 task
--         7 '' or 'overdue' (only past their deadline)   8 now_ms ('' = Redis TIME)
--         9 leased ones only when claimed before this ms, or past their run limit ('' in 3 to 6 and 9 = any)
-- RETURNS next cursor ('0' = that was all), then 6 a job: task id, queue, state, rank or due or claimed ms, holder,
--         head line
-- COST    O(jobs looked at); when leased ones may be among them O(leases of all processes) more; leased ones alone
--         are one page
-- KEEPS   reads only; a job that waits or runs all the while is listed at least once

--- @include "lib/clock"
--- @include "lib/head"
--- @include "lib/whereabouts"

now.set(ARGV[8])
local in_queue, in_state, of_org, of_task, overdue = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7] == 'overdue'
local before_ms = tonumber(ARGV[9]) or math.huge
local out, known = { '0' }, nil

local function leased() -- leases by queue TAB tag
  if known then return known end
  known = {}
  for _, holder in ipairs(redis.call('ZRANGE', key.holders(), 0, whereabouts.HOLDERS_LOOKED_AT - 1)) do
    for _, line in ipairs(redis.call('HVALS', key.held(holder))) do
      local l = record.all(record.read(line))
      l.holder = holder
      known[l.queue .. '\t' .. l.tag] = l
    end
  end
  return known
end

local function add(task_id, queue, tag)
  if in_queue ~= '' and queue ~= in_queue then return end
  local line = redis.call('GETRANGE', key.job(queue, tag), 0, head.BYTES):match('^[^\n]*\n')
  local job = line and head.parse(line)
  if not job or of_org ~= '' and job.org ~= of_org or of_task ~= '' and job.task ~= of_task then return end
  if overdue and (job.deadline == 0 or job.deadline >= now.ms) then return end
  local state, at = whereabouts.waiting(queue, tag, job)
  local holder = ''
  if not state then
    local l = leased()[queue .. '\t' .. tag]
    if l and l.claimed >= before_ms and not (job.run_limit > 0 and now.ms - l.claimed > job.run_limit) then return end
    state = l and 'leased' or 'astray'
    if l then at, holder = l.claimed, l.holder end
  end
  if in_state ~= '' and state ~= in_state then return end
  local n = #out
  out[n + 1], out[n + 2], out[n + 3] = task_id, queue, state
  out[n + 4], out[n + 5], out[n + 6] = string.format('%.17g', at or 0), holder, line
end

if in_state == 'leased' then -- few beside what waits
  for _, l in pairs(leased()) do add(l.task_id, l.queue, l.tag) end
  return out
end
local page = redis.call('HSCAN', key.ids(), ARGV[1], 'COUNT', ARGV[2])
out[1] = page[1]
for i = 1, #page[2], 2 do
  local queue, tag = page[2][i + 1]:match('^([^\t]*)\t([^\t]*)')
  add(page[2][i], queue, tag)
end
return out
