-- Pauses: a gate that a person closed.

local pauses = {}

pauses.RECHECK_MS = 30000 -- a closing that waits for an event is looked at again after this: a missed wake-up costs 30 s

function pauses.until_ms(text) -- text: 'until_ms TAB by TAB reason'; nil when there is no pause or it is over
  if not text then return nil end
  local until_ms = tonumber(text:match('^%d+'))
  if until_ms == 0 then return now.ms + pauses.RECHECK_MS end
  return until_ms > now.ms and until_ms or nil
end

function pauses.left_ms(text) -- how long it goes on; without an end for ever
  local until_ms = tonumber(text:match('^%d+'))
  return until_ms == 0 and math.huge or math.max(0, until_ms - now.ms)
end
