-- panic: a person opens the breaker of a resource, or closes it.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 'on' | 'off'   3 resource   4 until ms (0 = until ended by hand)   5 by   6 reason
-- RETURNS 'open' | 'closed' | 'unchanged'
-- COST    O(queues that it closed)
-- KEEPS   no job moves: its ring goes as a whole, and no attempt is burnt; after its time it opens by probes

--- @include "lib/clock"
--- @include "lib/state"

now.set(ARGV[1])
local verb, name, until_ms = ARGV[2], ARGV[3], tonumber(ARGV[4])

now.drainable()
local rules = state.resource_rules()
local r = rules.of(name)
local word = 'unchanged'
if verb == 'on' then
  rules.panic(r, until_ms, ARGV[6], ARGV[5])
  word = 'open'
elseif r.state ~= '' then
  rules.calm(r)
  word = 'closed'
end
if word ~= 'unchanged' and r.closed ~= '' then rules.open(r) end -- a claim finds it closed again, with the new time
state.flush()
return word
