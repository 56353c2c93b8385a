-- Time: Redis TIME, so that all processes share one clock; tests pass their own.

--- @keys absent

local now = {} -- ms and us since the epoch, the same for the whole script

function now.set(text) -- '' means the server's time
  if text ~= '' then
    now.ms, now.us = tonumber(text), tonumber(text) * 1000
    return
  end
  local time = redis.call('TIME')
  now.us = tonumber(time[1]) * 1000000 + tonumber(time[2])
  now.ms = math.floor(now.us / 1000)
end

function now.drainable() -- makes the rest of a script allowed on a server over maxmemory
  -- Redis refuses only the first allocating write of a script; a DEL allocates nothing.
  redis.call('DEL', key.absent())
end

local function fmt(number) -- the only way a fraction leaves a script: Lua's own conversion keeps 14 digits
  return string.format('%.17g', number)
end
