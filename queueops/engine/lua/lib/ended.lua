-- Ended: what is remembered of jobs that are gone. For two minutes at least of all, by task id: queue TAB tag, and the
-- outcome unless it succeeded; of an attempt whose task went on only that it was there. Longer where a job asked for it.

local ended = {}

ended.MINUTES = 3 -- the one that runs, and two whole ones

local function recall(back, ...) return redis.call('HMGET', key.ended(math.floor(now.ms / 60000) - back), ...) end

function ended.has(queue, tag, task_id) -- whether this very message was a job that has ended
  local entry = queue .. '\t' .. tag
  for back = 0, ended.MINUTES - 1 do
    local found = recall(back, task_id, entry)
    if found[2] or found[1] and (found[1] .. '\t'):sub(1, #entry + 1) == entry .. '\t' then return true end
  end
  return false
end

function ended.outcome(task_id) -- 'succeeded', another outcome, or nil when nothing is remembered
  for back = 0, ended.MINUTES - 1 do
    local line = recall(back, task_id)[1]
    if line then return line:match('^[^\t]*\t[^\t]*\t(%a+)$') or 'succeeded' end
  end
  local until_ms = tonumber(redis.call('GET', key.kept(task_id)))
  return until_ms and until_ms > now.ms and 'succeeded' or nil
end
