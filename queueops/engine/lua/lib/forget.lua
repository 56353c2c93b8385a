-- Forget: the only place where a job ends. Whatever keeps a trace of it is cleared here, for many jobs at once.

local forget = { keys = {}, ids = {}, entries = {}, outcomes = {}, memory = {} }

forget.ENDED_KEPT_S = 180 -- the minute that runs, and two whole ones

function forget.job(queue, tag, task_id, outcome)
  local at = #forget.ids + 1
  forget.keys[#forget.keys + 1] = key.job(queue, tag)
  forget.ids[at], forget.entries[at], forget.outcomes[at] = task_id, queue .. '\t' .. tag, outcome
  if outcome == 'cancelled' then
    local q = state.queue(queue)
    if q.tell then q.tell_of('cancelled', tag) end
  end
end

function forget.attempt(queue, tag) -- the task goes on as another job, which takes its place in the index
  forget.keys[#forget.keys + 1] = key.job(queue, tag)
  forget.memory[#forget.memory + 1] = queue .. '\t' .. tag
  forget.memory[#forget.memory + 1] = ''
end

local function note_marked(at) -- rare, so its parts are put together only here
  if not forget.ended then
    --- @include "lib/marks"
    forget.ended = marks.ended
  end
  forget.ended(forget.ids[at], forget.outcomes[at])
end

local function clear_index()
  local ids, memory, graves = forget.ids, forget.memory, {}
  local index, gone, marked = redis.call('HMGET', key.ids(), unpack(ids)), {}, {}
  for i, entry in ipairs(forget.entries) do
    local outcome, found = forget.outcomes[i], index[i]
    -- A later message of the same task keeps its entry: then this was only an attempt.
    local is_last = found == entry
    if not is_last and found and found == entry .. '\tm' then
      is_last = true
      marked[#marked + 1] = i
    end
    local at = #memory
    if is_last then gone[#gone + 1] = ids[i] end
    if is_last and outcome ~= 'retried' then
      memory[at + 1], memory[at + 2] = ids[i], outcome == 'succeeded' and entry or entry .. '\t' .. outcome
      if outcome == 'dead' then
        graves[#graves + 1] = ids[i]
        graves[#graves + 1] = entry
        memory[at + 3], memory[at + 4] = entry, '' -- a replay will end under the same task id
      end
    else
      memory[at + 1], memory[at + 2] = entry, ''
    end
  end
  if gone[1] then redis.call('HDEL', key.ids(), unpack(gone)) end
  if graves[1] then redis.call('HSET', key.graves(), unpack(graves)) end
  for _, at in ipairs(marked) do note_marked(at) end
end

function forget.send()
  if not forget.keys[1] then return end
  redis.call('UNLINK', unpack(forget.keys))
  if forget.ids[1] then clear_index() end
  local ended = key.ended(math.floor(now.ms / 60000))
  redis.call('HSET', ended, unpack(forget.memory))
  redis.call('EXPIRE', ended, forget.ENDED_KEPT_S)
end

state.unsent[#state.unsent + 1] = forget.send
