-- release: give jobs back that were not run, or whose run does not count.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 delay ms   3 'lost' (the delivery counts; too many: dead) | 'kept'
--         4 detail (JSON, for a job that dies)   then the tokens, or 'holder <name>' alone: of a process that ends
-- RETURNS one word a token: 'released' | 'dead' | 'cancelled' (meanwhile) | 'stale' | 'gone'
-- COST    O(log jobs) each; at most 500
-- KEEPS   charge, slot, rank, and (kept) the delivery count are given back; a rate's token is not

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/giveback"
--- @include "lib/workers"

local OF_A_HOLDER = 500

now.set(ARGV[1])
local due_ms, lost, detail = now.ms + tonumber(ARGV[2]), ARGV[3] == 'lost', ARGV[4]
local words = {}

local function release(token)
  local l = leases.find(token)
  if not l then return 'stale' end
  return leases.give_back(token, l, lost, due_ms, detail)
end

now.drainable()
local leaving = ARGV[5] and ARGV[5]:match('^holder (.*)$')
if leaving then
  for _, token in ipairs(redis.call('HRANDFIELD', key.held(leaving), OF_A_HOLDER)) do
    words[#words + 1] = release(token)
  end
  if #words < OF_A_HOLDER then workers.unregister(leaving) end
else
  for i = 5, #ARGV do words[#words + 1] = release(ARGV[i]) end
end
state.flush()
return words
