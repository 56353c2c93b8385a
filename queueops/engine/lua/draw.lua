-- draw: jobs that live, drawn by lot from all queues; each is as likely as any other, and may come twice.
-- KEYS    1 prefix
-- ARGV    1 how many
-- RETURNS one text, a line a job: queue, state ('ready' | 'scheduled' | 'blocked' | 'leased'), rank or due ms (0 = leased),
--         head line; separated by TAB
-- COST    O(log jobs) a job; the caller asks for some hundreds
-- KEEPS   reads only

--- @include "lib/head"
--- @include "lib/whereabouts"

local drawn, lines, job = redis.call('HRANDFIELD', key.ids(), -tonumber(ARGV[1]), 'WITHVALUES'), {}, {}
for i = 2, #drawn, 2 do
  local queue, tag = drawn[i]:match('^([^\t]*)\t([^\t]*)')
  local line = redis.call('GETRANGE', key.job(queue, tag), 0, head.BYTES):match('^[^\n]*\n')
  if line then
    job.org, job.resource, job.task = line:match('^%d%d\t([^\t]*)\t([^\t]*)\t([^\t]*)\t')
    if job.org then
      local state, at = whereabouts.waiting(queue, tag, job)
      lines[#lines + 1] = queue .. '\t' .. (state or 'leased') .. '\t' .. string.format('%.17g', at or 0) .. '\t' .. line
    end
  end
end
return table.concat(lines)
