-- Unique keys: which task holds a digest, as 'until ms TAB task id' (0: as long as its job lives).

local unique = {}

function unique.holder(digest) -- the task that holds it now, or nil
  local text = redis.call('GET', key.unique(digest))
  if not text then return nil end
  local until_ms, task_id = text:match('^(%d+)\t(.*)$')
  until_ms = tonumber(until_ms)
  if until_ms > 0 then return until_ms > now.ms and task_id or nil end
  return redis.call('HEXISTS', key.ids(), task_id) == 1 and task_id or nil -- a job gone by hand holds nothing
end

function unique.take(digest, task_id, for_ms)
  if for_ms > 0 then
    redis.call('SET', key.unique(digest), (now.ms + for_ms) .. '\t' .. task_id, 'PX', for_ms)
  else
    redis.call('SET', key.unique(digest), '0\t' .. task_id)
  end
end

function unique.give_up(digest, task_id)
  local text = redis.call('GET', key.unique(digest))
  if text and text:match('\t(.*)$') == task_id then redis.call('DEL', key.unique(digest)) end
end
