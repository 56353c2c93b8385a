-- History: what ended. A script appends one line an attempt to its queue's list; the lines are counted later, many at
-- once (lib/fold). The lines beyond the last multiple of FOLD are not counted yet: whoever reads counts them himself.

local history = { of = {} } -- by queue: lines, and those of attempts that failed

history.FOLD = 256                   -- also in engine/history.py
history.SETTLED_KEPT = 40 * 256      -- a multiple of FOLD, or counted and uncounted lines could not be told apart
history.FAILURES_KEPT, history.SPARE = 1000, 200
history.MESSAGE_BYTES = 200

local function short(text, bytes) -- its first line, fit for a line of a list
  return type(text) == 'string' and (text:match('^[^\n]*'):sub(1, bytes):gsub('%c', ' ')) or ''
end

function history.error_of(detail) -- 'error TAB message' of what a dead letter tells
  local read, told = pcall(cjson.decode, detail)
  if not read or type(told) ~= 'table' then return 'unknown\t' end
  local error = short(told.error, 100)
  if error == '' then error = short(told.reason, 100) end
  return (error ~= '' and error or 'unknown') .. '\t' .. short(told.message, history.MESSAGE_BYTES)
end

function history.note(l, outcome, run, error) -- l: the lease; run: ms as text, '0' without a run; error: nil if it did not fail
  local h = history.of[l.queue]
  if not h then
    h = { lines = {}, failures = {} }
    history.of[l.queue] = h
    history.now = history.now or tostring(now.ms) -- a number's text costs more than all the rest of a line
  end
  local line = history.now .. '\t' .. outcome .. '\t' .. run .. '\t' .. l.waited .. '\t' .. l.org .. '\t' .. l.resource
    .. '\t' .. l.task .. '\t' .. l.task_id .. '\t' .. l.rest
  if error then
    line = line .. '\t' .. error
    h.failures[#h.failures + 1] = line
  end
  h.lines[#h.lines + 1] = line
end

function history.send()
  for queue, h in pairs(history.of) do
    local list = key.settled(queue)
    local length = redis.call('RPUSH', list, unpack(h.lines))
    local counted = math.floor((length - #h.lines) / history.FOLD) * history.FOLD
    local countable = math.floor(length / history.FOLD) * history.FOLD
    if countable > counted then
      if not history.fold then
        --- @include "lib/fold"
        history.fold = fold
      end
      history.fold(queue, redis.call('LRANGE', list, counted, countable - 1))
      if countable > history.SETTLED_KEPT then redis.call('LTRIM', list, countable - history.SETTLED_KEPT, -1) end
    end
    if h.failures[1] then
      local failures = key.failures(queue)
      if redis.call('RPUSH', failures, unpack(h.failures)) > history.FAILURES_KEPT + history.SPARE then
        redis.call('LTRIM', failures, -history.FAILURES_KEPT, -1)
      end
    end
  end
  history.of = {}
end

state.unsent[#state.unsent + 1] = history.send
