-- Workers: what each process offers. The slots of a queue's live workers are what an org's share is a share of.

--- @include "lib/wake"

local workers = {}

local function queues_of(info) return info and cjson.decode(info).queues or {} end

local function recount(queue) -- a share that grew or shrank holds from now on
  local slots = 0
  for _, number in ipairs(redis.call('HVALS', key.slots(queue))) do slots = slots + tonumber(number) end
  local before = tonumber(redis.call('HGET', key.queue(queue), 'slots')) or 0
  if slots == before then return end
  redis.call('HSET', key.queue(queue), 'slots', slots)
  if state.queues[queue] then state.queues[queue].slots = slots end
  if slots > before then wake.all(queue) end
end

function workers.register(holder, info)
  local fresh, offered = cjson.decode(info), {}
  for _, queue in ipairs(fresh.queues) do offered[queue] = true end
  for _, queue in ipairs(queues_of(redis.call('HGET', key.workers(), holder))) do
    if not offered[queue] then
      redis.call('HDEL', key.slots(queue), holder)
      recount(queue)
    end
  end
  redis.call('HSET', key.workers(), holder, info)
  for queue in pairs(offered) do
    redis.call('HSET', key.slots(queue), holder, fresh.slots)
    recount(queue)
  end
end

function workers.unregister(holder)
  for _, queue in ipairs(queues_of(redis.call('HGET', key.workers(), holder))) do
    redis.call('HDEL', key.slots(queue), holder)
    recount(queue)
  end
  redis.call('HDEL', key.workers(), holder)
  redis.call('ZREM', key.holders(), holder)
end
