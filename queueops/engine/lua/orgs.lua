-- orgs: the live pictures of some orgs in a queue.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 queue   then the orgs
-- RETURNS now_ms as text, then a list an org: field, value, ...
-- COST    O(lanes of the orgs); the caller names at most 40
-- KEEPS   reads only

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/picture"

now.set(ARGV[1])
local q, out = state.queue(ARGV[2]), { string.format('%.17g', now.ms) }
for i = 3, #ARGV do out[#out + 1] = picture.org(q, ARGV[i]) end
return out
