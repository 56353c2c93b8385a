-- Rank: the order inside a lane. One number gives priority, FIFO, ageing and deadlines.

local function rank(since_ms, patience, deadline)
  if deadline > 0 and deadline < since_ms + patience then return deadline end
  return since_ms + patience
end
