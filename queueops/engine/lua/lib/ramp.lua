-- Ramp: a queue that was resumed gradually. Its concurrency grows from 1 to its own, or to its workers' slots.

local function ramp(q, text) -- text: 'start_ms end_ms'
  local start_ms, end_ms = text:match('^(%d+) (%d+)$')
  if now.ms >= tonumber(end_ms) then return end -- its timer clears it away
  local whole = q.concurrency or q.slots
  local share = math.max(0, now.ms - start_ms) / (end_ms - start_ms)
  q.ramping, q.concurrency = true, math.min(math.max(1, math.ceil(whole * share)), math.max(1, whole))
end
