-- survey: a step of a walk through the places where jobs of a queue wait; counts them and reads a job at every so many.
-- KEYS    1 prefix
-- ARGV    1 queue   2 'ring' (the lanes of its orgs) | 'timers' (the lanes of closed orgs, what is scheduled, and resources
--         whose ring is out) | 'aside' (jobs of a paused task) | 'blocked'   3 resource of the ring, or the task
--         4 entry to begin at   5 at most so many entries   6 ready jobs passed   7 how many of them were read
--         8 distance from one that is read to the next   9 other jobs passed   10 how many of them were read
--         11 their distance; 0 = they are not looked at
-- RETURNS number of entries; ready jobs passed, and read; other jobs passed, and read; jobs in closed lanes; since when
--         the first job of these with the lowest rank is ready ('' = none); names of resources whose ring is out, each
--         followed by TAB; then a line a job that was read: 'r' (ready) | 'o' (other), score, head line; separated by TAB
-- COST    O(entries + lanes of their orgs + jobs read), a job read O(log jobs)
-- KEEPS   reads only; steps see the queue at different moments

--- @include "lib/head"

local queue, of, name, from, count = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local ready = { letter = 'r', passed = tonumber(ARGV[6]), read = tonumber(ARGV[7]), distance = tonumber(ARGV[8]) }
local other = { letter = 'o', passed = tonumber(ARGV[9]), read = tonumber(ARGV[10]), distance = tonumber(ARGV[11]) }
local lines, out, closed_jobs, lowest, lowest_tag = {}, {}, 0, nil, nil

local function line_of(tag) return redis.call('GETRANGE', key.job(queue, tag), 0, head.BYTES):match('^[^\n]*\n') end

local function mark(kind) -- place of the next job to read: anywhere in its stretch, or orgs in step with it would be missed
  return math.floor((kind.read + (kind.read + 1) * 0.6180339887498949 % 1) * kind.distance)
end

local function pass(kind, zset, jobs)
  local ends, at = kind.passed + jobs, mark(kind)
  while at < ends do
    local place = math.max(0, at - kind.passed)
    local found = redis.call('ZRANGE', zset, place, place, 'WITHSCORES')
    local line = found[1] and line_of(found[1])
    if line then lines[#lines + 1] = kind.letter .. '\t' .. found[2] .. '\t' .. line end
    kind.read = kind.read + 1
    at = mark(kind)
  end
  kind.passed = ends
end

local function closed(org) -- none of its lanes is in a ring
  for resource in (redis.call('HGET', key.org(queue, org), 'l') or ''):gmatch('(%S*) ') do
    local lane = key.lane(queue, resource, org)
    local jobs, first = redis.call('ZCARD', lane), redis.call('ZRANGE', lane, 0, 0, 'WITHSCORES')
    closed_jobs = closed_jobs + jobs
    local rank = tonumber(first[2])
    if rank and (not lowest or rank < lowest) then lowest, lowest_tag = rank, first[1] end
    pass(ready, lane, jobs)
  end
end

local entries = 1
if of == 'ring' then
  local orgs = redis.call('ZRANGE', key.ring(queue, name), from, from + count - 1)
  entries = #orgs
  for _, org in ipairs(orgs) do
    local lane = key.lane(queue, name, org)
    pass(ready, lane, redis.call('ZCARD', lane))
  end
elseif of == 'timers' then
  local found = redis.call('ZRANGE', key.timers(queue), from, from + count - 1)
  entries = #found
  for _, entry in ipairs(found) do
    local kind, rest = entry:sub(1, 1), entry:sub(2)
    if kind == 'o' then
      closed(rest)
    elseif kind == 's' and other.distance > 0 then
      local scheduled = key.scheduled(queue, rest)
      pass(other, scheduled, redis.call('ZCARD', scheduled))
    elseif kind == 'r' then
      out[#out + 1] = rest .. '\t'
    end
  end
elseif of == 'aside' then
  local aside = key.aside(queue, name)
  pass(ready, aside, redis.call('ZCARD', aside))
else
  pass(other, key.blocked(queue), redis.call('ZCARD', key.blocked(queue)))
end
local job = lowest_tag and head.parse(line_of(lowest_tag) or '')
return {
  entries, ready.passed, ready.read, other.passed, other.read, closed_jobs,
  job and string.format('%.17g', head.ready_since(lowest, job.patience, job.first)) or '',
  table.concat(out), table.concat(lines),
}
