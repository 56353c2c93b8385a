-- Window: the head of a zset, read once, kept in order while the script raises scores, written back at the end.

local window = {}

function window.over(zset, found, size) -- found: its first members and their scores, at most `size`
  local w = { zset = zset, first = 1, last = #found / 2, names = {}, scores = {}, moved = {} }
  for i = 1, w.last do w.names[i], w.scores[i] = found[2 * i - 1], tonumber(found[2 * i]) end
  w.bound = w.last < size and math.huge or w.scores[w.last] -- beyond it are members that the window does not know
  return w
end

function window.read(zset, size)
  return window.over(zset, redis.call('ZRANGE', zset, 0, size - 1, 'WITHSCORES'), size)
end

function window.head(w) -- name and score; without a head nil and 'more' (read it again) or 'empty' (so is the zset)
  if w.first <= w.last then return w.names[w.first], w.scores[w.first] end
  return nil, w.bound == math.huge and 'empty' or 'more'
end

function window.sink(w, score) -- the head gets a higher score
  local names, scores, at = w.names, w.scores, w.first
  local name = names[at]
  w.moved[name] = score
  if score >= w.bound and w.bound < math.huge then -- others that it does not know may come before
    w.first = at + 1
    return
  end
  while at < w.last and scores[at + 1] <= score do
    names[at], scores[at] = names[at + 1], scores[at + 1]
    at = at + 1
  end
  names[at], scores[at] = name, score
end

function window.drop(w) -- the head left the zset
  w.moved[w.names[w.first]] = nil
  w.first = w.first + 1
end

function window.write(w)
  local args = {}
  for name, score in pairs(w.moved) do
    args[#args + 1] = score
    args[#args + 1] = name
  end
  -- XX: whoever left meanwhile stays out.
  if args[1] then redis.call('ZADD', w.zset, 'XX', unpack(args)) end
  w.moved = {}
end
