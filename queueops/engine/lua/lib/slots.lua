-- Slots of a resource that code holds and no lease: each is given back by who took it, or expires.

local slots = {}

local EXPIRED_A_CALL = 100

function slots.take(r, id, ms) -- returns what gives it back
  local slot = r.name .. '\t' .. id .. '\t' .. state.resource_rules().take(r)
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
