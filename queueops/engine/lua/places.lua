-- places: a step of a walk through the places where jobs of a queue wait, and how many wait in each.
-- KEYS    1 prefix
-- ARGV    1 queue   2 'ring' (the lanes of its orgs) | 'timers' (the lanes of closed orgs, what is scheduled, and
--         resources whose ring is out)   3 resource of the ring   4 place to begin at   5 at most so many entries
-- RETURNS number of entries read, then one text, a line a place: 'lane', gate that closed it ('' = open), resource,
--         org, jobs, rank of the first; or 'scheduled', '', '', org, jobs, due ms of the first; or 'out', '', resource, '', 0, 0
-- COST    O(entries + lanes of their orgs)
-- KEEPS   reads only; steps see the queue at different moments

local queue, of, ring_resource, from, count = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local lines = {}

local function add(kind, gate, resource, org, zset)
  local jobs = redis.call('ZCARD', zset)
  if jobs == 0 then return end
  local first = redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')[2]
  lines[#lines + 1] = kind .. '\t' .. gate .. '\t' .. resource .. '\t' .. org .. '\t' .. jobs .. '\t' .. first
end

local function closed(org) -- none of its lanes is in a ring
  local o = redis.call('HMGET', key.org(queue, org), 'l', 'c')
  for resource in (o[1] or ''):gmatch('(%S*) ') do
    add('lane', o[2] or '', resource, org, key.lane(queue, resource, org))
  end
end

local entries
if of == 'ring' then
  entries = redis.call('ZRANGE', key.ring(queue, ring_resource), from, from + count - 1)
  for _, org in ipairs(entries) do add('lane', '', ring_resource, org, key.lane(queue, ring_resource, org)) end
else
  entries = redis.call('ZRANGE', key.timers(queue), from, from + count - 1)
  for _, entry in ipairs(entries) do
    local kind, name = entry:sub(1, 1), entry:sub(2)
    if kind == 'o' then
      closed(name)
    elseif kind == 's' then
      add('scheduled', '', '', name, key.scheduled(queue, name))
    elseif kind == 'r' then
      lines[#lines + 1] = 'out\t\t' .. name .. '\t\t0\t0'
    end
  end
end
return { #entries, table.concat(lines, '\n') }
