-- Ended: what is remembered of jobs that are gone. For two minutes at least of all, by task id: queue TAB tag, and the
-- outcome unless it succeeded; of an attempt whose task went on only that it was there. Longer where a job asked for it.

local ended = {}

-- The minute that runs and two whole ones; the next one too, for a clock that has stepped back.
ended.NEWEST, ended.OLDEST = -1, 2

local function recall(back, ...) return redis.call('HMGET', key.ended(math.floor(now.ms / 60000) - back), ...) end

function ended.has(queue, tag, task_id) -- whether this very message was a job that has ended
  local entry = queue .. '\t' .. tag
  for back = ended.NEWEST, ended.OLDEST do
    local found = recall(back, task_id, entry)
    if found[2] or found[1] and (found[1] .. '\t'):sub(1, #entry + 1) == entry .. '\t' then return true end
  end
  return false
end

function ended.outcome(task_id) -- 'succeeded', 'cancelled', or nil; the dead are known by their graves
  for back = ended.NEWEST, ended.OLDEST do
    local line = recall(back, task_id)[1]
    local outcome = line and (line:match('^[^\t]*\t[^\t]*\t(%a+)$') or 'succeeded')
    if outcome == 'succeeded' or outcome == 'cancelled' then return outcome end
  end
  local until_ms = tonumber(redis.call('GET', key.kept(task_id)))
  return until_ms and until_ms > now.ms and 'succeeded' or nil
end
