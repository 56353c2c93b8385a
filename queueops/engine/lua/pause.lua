-- pause: a person closes a gate, or opens it again (resume).
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 'pause' | 'resume'   3 queue   4 org ('' = the whole queue)
--         5 until ms (0 = until resumed)   6 by   7 reason
-- RETURNS 'paused' | 'resumed' | 'unchanged'
-- COST    O(rings of the org)
-- KEEPS   no job moves: a paused lane keeps its place

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/lanes"

now.set(ARGV[1])
local verb, queue, org, until_ms, by, reason = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]
local field, timer = '!' .. org, org == '' and '!' or 'o' .. org

now.drainable()
local changed = 'unchanged'
if verb == 'pause' then
  redis.call('HSET', key.gates(queue), field, ARGV[5] .. '\t' .. by .. '\t' .. reason)
  if org ~= '' then redis.call('HSET', key.gates(queue), 'orgs', '1') end
  changed = 'paused'
elseif redis.call('HDEL', key.gates(queue), field) == 1 then
  changed = 'resumed'
end
if changed ~= 'unchanged' then
  local q = state.queue(queue)
  if org ~= '' then lanes.open(q, state.org(q, org)) end -- at its head it meets what holds now
  if until_ms > 0 then
    redis.call('ZADD', key.timers(queue), until_ms, timer)
    bells.note_timer(q, until_ms)
  else
    redis.call('ZREM', key.timers(queue), timer) -- the end of an earlier pause
  end
  q.bell = verb == 'resume' and bells.has_work(q)
  state.flush()
end
return changed
