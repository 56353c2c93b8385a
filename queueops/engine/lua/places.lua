-- places: a step of a walk through the orgs of a queue, and how many of their jobs wait.
-- KEYS    1 prefix
-- ARGV    1 queue   2 'ring' (orgs with open lanes) | 'timers' (closed orgs, what is scheduled, and resources whose ring is
--         out)   3 resource of the ring   4 entry to begin at   5 at most so many entries
--         6 'jobs' (how many are in a lane) | 'first' (the rank of its first one) | 'names' (0)
-- RETURNS number of entries, then one text, a line a place: 'l' (lane), org, what was asked for, and of a closed one the
--         gate; 's' (scheduled), org; 'r', a resource whose ring is out
-- COST    O(entries + lanes of their orgs)
-- KEEPS   reads only; steps see the queue at different moments

local queue, of, ring_resource, from, count = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local asked, lines = ARGV[6], {}

local function add_lane(resource, org, gate)
  local told = '0'
  if asked == 'jobs' then
    told = redis.call('ZCARD', key.lane(queue, resource, org))
  elseif asked == 'first' then
    told = redis.call('ZRANGE', key.lane(queue, resource, org), 0, 0, 'WITHSCORES')[2] or 'inf'
  end
  lines[#lines + 1] = 'l ' .. org .. ' ' .. told .. (gate and ' ' .. gate or '')
end

local entries
if of == 'ring' then
  entries = redis.call('ZRANGE', key.ring(queue, ring_resource), from, from + count - 1)
  for _, org in ipairs(entries) do add_lane(ring_resource, org) end
else
  entries = redis.call('ZRANGE', key.timers(queue), from, from + count - 1)
  for _, entry in ipairs(entries) do
    local kind, name = entry:sub(1, 1), entry:sub(2)
    if kind == 'o' then
      local o = redis.call('HMGET', key.org(queue, name), 'l', 'c')
      for resource in (o[1] or ''):gmatch('(%S*) ') do add_lane(resource, name, o[2]) end
    elseif kind == 's' then
      lines[#lines + 1] = 's ' .. name
    elseif kind == 'r' then
      lines[#lines + 1] = 'r ' .. name
    end
  end
end
return { #entries, table.concat(lines, '\n') }
