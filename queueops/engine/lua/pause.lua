-- pause: a person closes a gate, or opens it again (resume).
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 'pause' | 'resume'   3 queue   4 org ('' = the whole queue)
--         5 until ms (0 = until resumed)   6 by   7 reason
-- RETURNS 'paused' | 'resumed' | 'unchanged'
-- COST    O(rings of the org)
-- KEEPS   no job moves: a paused lane keeps its place

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/gates"
--- @include "lib/rings"
--- @include "lib/bells"
--- @keys gates timers

now.set(ARGV[1])
local verb, queue, org, until_ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local by, reason = ARGV[6], ARGV[7]
local field, timer = '!' .. org, org == '' and '!' or 'o' .. org

if verb == 'pause' then
  redis.call('HSET', key.gates(queue), field, fmt(until_ms) .. '\t' .. by .. '\t' .. reason)
  if org == '' and until_ms > 0 then redis.call('ZADD', key.timers(queue), fmt(until_ms), timer) end
  return 'paused'
end
now.drainable()
if redis.call('HDEL', key.gates(queue), field) == 0 then return 'unchanged' end
local q = state.queue(queue)
if org == '' then
  redis.call('ZREM', key.timers(queue), timer)
else
  local o = state.org(q, org)
  if o.c == 'pause' then rings.reopen(q, o) end
end
q.bell = true
state.flush()
bells.ring_all()
return 'resumed'
