-- Slots of a resource that code holds and no lease: each is given back by who took it, or expires.

local slots = {}

local EXPIRED_A_CALL = 100
local SHORTENED_A_CALL = 10000

function slots.take(r, id, ms) -- returns what gives it back
  local slot = r.name .. '\t' .. id .. '/' .. ms .. '\t' .. state.resource_rules().take(r)
  redis.call('ZADD', key.taken(), now.ms + ms, slot)
  return slot
end

function slots.give(slot, verdict) -- verdict as of a job's lease; false when it had expired
  if redis.call('ZREM', key.taken(), slot) == 0 then return false end
  local name, flags = slot:match('^([^\t]*)\t[^\t]*\t(.*)$')
  state.resource_rules().ended(name, flags, verdict)
  return true
end

function slots.expire() -- those of code that died, or hangs
  for _, slot in ipairs(redis.call('ZRANGEBYSCORE', key.taken(), '-inf', now.ms, 'LIMIT', 0, EXPIRED_A_CALL)) do
    slots.give(slot)
  end
end

function slots.stepped_back() -- the clock did: none is held for longer, from now on, than it was taken for
  for _, slot in ipairs(redis.call('ZREVRANGEBYSCORE', key.taken(), '+inf', '(' .. now.ms,
    'LIMIT', 0, SHORTENED_A_CALL)) do
    local ms = slot:match('/(%d+)\t')
    if ms then redis.call('ZADD', key.taken(), 'LT', now.ms + ms, slot) end
  end
end
