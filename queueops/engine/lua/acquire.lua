-- acquire: code that is no job takes its place at a resource, or a token of a rate of its own.
-- KEYS    1 prefix
-- ARGV    1 now_ms ('' = Redis TIME)   2 'resource' | 'rate' | 'give'
--         3 the name; of 'give' the slot   4 interval us of a rate, id of a new slot, or the verdict ('good' | 'bad' | '')
--         5 burst of a rate, or ms after which the slot is given back by itself
-- RETURNS gate that is closed ('' = taken), ms until it may open, slot to be given back ('' = none)
-- COST    O(log slots); a slot that is given back may open the resource's rings
-- KEEPS   nothing is taken at a closed gate; jobs and code share a resource's rate, cap and breaker

--- @include "lib/clock"
--- @include "lib/state"
--- @include "lib/slots"

now.set(ARGV[1])
local verb, name = ARGV[2], ARGV[3]

local function take_rate(interval, burst)
  local bucket, now_us = key.bucket(name), now.ms * 1000
  -- A clock that stepped back must not close the bucket for longer than the burst.
  local tat = math.min(tonumber(redis.call('GET', bucket)) or 0, now_us + burst * interval)
  local allowed_ms = math.ceil((tat - (burst - 1) * interval) / 1000)
  if allowed_ms > now.ms then return { 'rate', allowed_ms - now.ms, '' } end
  tat = math.max(tat, now_us) + interval
  redis.call('SET', bucket, string.format('%.17g', tat), 'PX', string.format('%d', math.ceil(tat / 1000) - now.ms + 1))
  return { '', 0, '' }
end

local function take_resource(id, ms)
  local rules = state.resource_rules()
  slots.expire()
  local r = rules.of(name)
  if not r.any and not r.pause and r.state == '' then return { '', 0, '' } end -- nobody has limited it
  local gate, until_ms = rules.gate(r)
  if gate then return { gate, math.max(1, until_ms - now.ms), '' } end
  return { '', 0, slots.take(r, id, ms) }
end

now.drainable()
local answer
if verb == 'rate' then
  answer = take_rate(tonumber(ARGV[4]), tonumber(ARGV[5]))
elseif verb == 'resource' then
  answer = take_resource(ARGV[4], tonumber(ARGV[5]))
else
  answer = { slots.give(name, ARGV[4] ~= '' and ARGV[4] or nil) and '' or 'expired', 0, '' }
end
state.flush()
return answer
