-- Forget: the only place where a job ends. Whatever keeps a trace of it is cleared here, for many jobs at once.

local forget = { keys = {}, ids = {}, entries = {} }

forget.ENDED_KEPT_S = 180 -- the minute that runs, and two whole ones

function forget.job(queue, tag, task_id)
  local at = #forget.keys + 1
  forget.keys[at], forget.ids[at], forget.entries[at] = key.job(queue, tag), task_id, queue .. '\t' .. tag
end

function forget.send()
  if not forget.keys[1] then return end
  redis.call('UNLINK', unpack(forget.keys))
  local index, gone = redis.call('HMGET', key.ids(), unpack(forget.ids)), {}
  for i, entry in ipairs(forget.entries) do
    -- A later message of the same task keeps its entry.
    if index[i] == entry then gone[#gone + 1] = forget.ids[i] end
  end
  if gone[1] then redis.call('HDEL', key.ids(), unpack(gone)) end
  local ended = key.ended(math.floor(now.ms / 60000))
  redis.call('SADD', ended, unpack(forget.entries))
  redis.call('EXPIRE', ended, forget.ENDED_KEPT_S)
end

state.unsent[#state.unsent + 1] = forget.send
