-- Means: the running mean of each task's run time, which a claim charges until the run has shown the truth.

local means = { known = {} }

means.UNKNOWN_MS = 100 -- charged for a task nobody has measured yet
means.STEP = 0.1       -- weight of the newest runs in the mean

function means.of(task)
  local mean = means.known[task]
  if not mean then
    mean = tonumber(redis.call('HGET', key.means(), task)) or means.UNKNOWN_MS
    means.known[task] = mean
  end
  return mean
end
