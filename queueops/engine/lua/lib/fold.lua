-- Fold: counts lines of the history into hashes a minute and an hour, by task and for the whole queue. The buckets are
-- also in rules/histogram.py, the fields in engine/history.py.

local BOUNDS_MS = { 1, 2, 5, 10, 20, 50, 100, 500, 1000, 5000, 10000, 30000, 60000, 300000, 600000 }
local MINUTES_KEPT, HOURS_KEPT, SLOWEST_KEPT_HOURS = 62, 193, 25 -- the running one included
local SLOWEST_KEPT = 50
local TASKS, FIELDS = 200, 300 -- of a queue, and fields of a hash; further names of tasks and errors count as 'other'

local function count(series, field, number) series[field] = (series[field] or 0) + number end

local function series_of(spans, span, task) -- spans: by number of the minute or hour, by task
  local tasks = spans[span]
  if not tasks then
    tasks = {}
    spans[span] = tasks
  end
  local series = tasks[task]
  if not series then
    series = { counts = { ended = 0, wait_ms = 0, run_us = 0 }, errors = {}, last = 0 }
    tasks[task] = series
  end
  return series
end

local function note_end(series, outcome, ended, line) -- of an attempt that did not succeed
  count(series.counts, outcome, 1)
  local error = line:match('^[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*'
    .. '\t[^\t]*\t([^\t]+)')
  if error then
    count(series.counts, 'failed', 1)
    count(series.errors, error, 1)
    series.last = tonumber(ended)
  end
end

local function read(lines) -- returns what they add, by minute and task, and the run ms of each line
  local minutes, runs, waits_by, runs_by, bounds = {}, {}, {}, {}, #BOUNDS_MS
  for i = 1, bounds + 1 do waits_by[i], runs_by[i] = 'w' .. i, 'r' .. i end
  local at, of, series -- most lines follow one of the same millisecond or task
  for i, line in ipairs(lines) do
    local ended, outcome, run, waited, task = line:match('^(%d+)\t(%a+)\t(%S+)\t(%d+)\t[^\t]*\t[^\t]*\t([^\t]*)\t')
    if ended ~= at or task ~= of then
      at, of = ended, task
      -- The empty name is the whole queue's.
      series = series_of(minutes, math.floor(ended / 60000), task ~= '' and task or 'unnamed')
    end
    local counts, run_ms, wait_ms = series.counts, tonumber(run) or 0, tonumber(waited)
    counts.ended, counts.wait_ms = counts.ended + 1, counts.wait_ms + wait_ms
    local bucket = 1
    while bucket <= bounds and wait_ms > BOUNDS_MS[bucket] do bucket = bucket + 1 end
    local field = waits_by[bucket]
    counts[field] = (counts[field] or 0) + 1
    if run_ms > 0 then
      counts.run_us = counts.run_us + run_ms * 1000
      bucket = 1
      while bucket <= bounds and run_ms > BOUNDS_MS[bucket] do bucket = bucket + 1 end
      field = runs_by[bucket]
      counts[field] = (counts[field] or 0) + 1
    end
    runs[i] = run_ms
    if outcome ~= 'succeeded' then note_end(series, outcome, ended, line) end
  end
  return minutes, runs
end

local function merge(into, series)
  for field, number in pairs(series.counts) do count(into.counts, field, number) end
  for error, number in pairs(series.errors) do count(into.errors, error, number) end
  into.last = math.max(into.last, series.last)
end

local function add(hash, series, kept_s) -- returns whether the hash is new; kept_s: nil for ever
  local counts = series.counts
  local new = redis.call('HINCRBY', hash, 'ended', counts.ended) == counts.ended
  for field, number in pairs(counts) do
    if field ~= 'ended' and number ~= 0 then redis.call('HINCRBY', hash, field, math.floor(number + 0.5)) end
  end
  if not kept_s then return new end
  if new then redis.call('EXPIRE', hash, kept_s) end
  for error, number in pairs(series.errors) do
    if redis.call('HINCRBY', hash, '!' .. error, number) == number and redis.call('HLEN', hash) > FIELDS then
      redis.call('HDEL', hash, '!' .. error)
      error = 'other'
      redis.call('HINCRBY', hash, '!other', number)
    end
    redis.call('HSET', hash, '@' .. error, series.last)
  end
  return new
end

local function roll(queue, task, hour) -- the task's last hour is over: its counters go to those since ever
  local ever, last = key.ever(queue, task), key.hour(queue, hour, task)
  local fields = redis.call('HGETALL', last)
  for i = 1, #fields, 2 do
    local kind = fields[i]:sub(1, 1)
    if kind ~= '@' then
      local new = redis.call('HINCRBY', ever, fields[i], fields[i + 1]) == tonumber(fields[i + 1])
      if new and kind == '!' and redis.call('HLEN', ever) > FIELDS then
        redis.call('HDEL', ever, fields[i])
        redis.call('HINCRBY', ever, '!other', fields[i + 1])
      end
    end
  end
  redis.call('EXPIRE', ever, HOURS_KEPT * 3600)
end

local function has_counters(queue, task, hour) -- whether a task that is new in this hour gets counters of its own
  local tasks = key.tasks(queue)
  local last = tonumber(redis.call('ZSCORE', tasks, task))
  if last and last < hour then roll(queue, task, last) end
  if redis.call('ZADD', tasks, 'GT', hour, task) == 0 then return true end
  redis.call('ZREMRANGEBYSCORE', tasks, '-inf', hour - HOURS_KEPT)
  if task == 'other' or redis.call('ZCARD', tasks) <= TASKS then return true end
  redis.call('ZREM', tasks, task)
  return false
end

local function add_hour(queue, hour, task, series) -- returns under which name the task counts
  local hash = key.hour(queue, hour, task)
  if add(hash, series, HOURS_KEPT * 3600) and task ~= '' and not has_counters(queue, task, hour) then
    redis.call('DEL', hash)
    return add_hour(queue, hour, 'other', series)
  end
  return task
end

local function hour_of(line) return math.floor(line:match('^%d+') / 3600000) end

local function keep_slowest(queue, lines, runs)
  local slowest, floor, of -- of one hour: a run must be longer to be among them
  local in_one_hour = hour_of(lines[1]) == hour_of(lines[#lines])
  for i, run_ms in ipairs(runs) do
    if run_ms > (in_one_hour and floor or 0) then
      local hour = hour_of(lines[i])
      if hour ~= of then
        of, slowest, floor = hour, key.slowest(queue, hour), nil
      end
      floor = floor or tonumber(redis.call('ZRANGE', slowest, -SLOWEST_KEPT, -SLOWEST_KEPT, 'WITHSCORES')[2]) or 0
      if run_ms > floor and redis.call('ZADD', slowest, run_ms, lines[i]) == 1 then
        redis.call('ZREMRANGEBYRANK', slowest, 0, -SLOWEST_KEPT - 1)
        redis.call('EXPIRE', slowest, SLOWEST_KEPT_HOURS * 3600)
        floor = nil
      end
    end
  end
end

local function fold(queue, lines)
  local minutes, runs = read(lines)
  local hours, ever = {}, series_of({}, 0, '')
  for minute, tasks in pairs(minutes) do
    local total = series_of({}, 0, '')
    for task, series in pairs(tasks) do
      merge(total, series)
      merge(series_of(hours, math.floor(minute / 60), task), series)
    end
    -- The whole queue has counters of its own: a look at all queues reads as many hashes as there are queues.
    merge(series_of(hours, math.floor(minute / 60), ''), total)
    merge(ever, total)
    tasks[''] = total
  end
  local names, in_order = {}, {}
  for hour in pairs(hours) do in_order[#in_order + 1] = hour end
  table.sort(in_order)
  for _, hour in ipairs(in_order) do
    for task, series in pairs(hours[hour]) do names[task] = add_hour(queue, hour, task, series) end
  end
  for minute, tasks in pairs(minutes) do
    for task, series in pairs(tasks) do
      if minute > math.floor(now.ms / 60000) - MINUTES_KEPT then
        add(key.minute(queue, minute, names[task]), series, MINUTES_KEPT * 60)
      end
    end
  end
  add(key.counts(queue), ever)
  keep_slowest(queue, lines, runs)
end
