-- spans: the counters of some minutes or hours in a row, of one task or of a whole queue.
-- KEYS    1 prefix
-- ARGV    1 queue   2 task ('' = the whole queue)   3 'minute' | 'hour'   4 the first of them, by its number   5 how many
-- RETURNS of each in which something ended: its place in the row (from 0), its counters as a flat list of field, value
-- COST    O(spans, and fields of those that there are); the caller asks for 64 at most
-- KEEPS   reads only

local queue, task, of, first, found = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), {}
for place = 0, tonumber(ARGV[5]) - 1 do
  local number = string.format('%d', first + place)
  local counters = redis.call('HGETALL', of == 'hour' and key.hour(queue, number, task) or key.minute(queue, number, task))
  if counters[1] then
    found[#found + 1] = place
    found[#found + 1] = counters
  end
end
return found
