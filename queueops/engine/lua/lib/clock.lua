-- Time: Redis TIME, so that all processes share one clock; tests pass their own.

local now = {} -- ms since the epoch, the same for the whole script

function now.set(text) -- '' means the server's time
  now.ms = tonumber(text)
  if not now.ms then
    local time = redis.call('TIME')
    now.ms = time[1] * 1000 + math.floor(time[2] / 1000)
  end
end

function now.drainable() -- makes the rest of a script allowed on a server over maxmemory
  -- Redis refuses only the first allocating write of a script; a DEL allocates nothing.
  redis.call('DEL', key.absent())
end
