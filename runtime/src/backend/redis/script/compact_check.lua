-- Charges a check of one quota of a sliding window counter or a fixed window, and returns the reply.
-- It handles state that this release has stored, and a key without state, which most checks find.
-- For any other check it returns nil, and then it has changed nothing. All checks share one table,
-- `scratch`.
local scratch = { start = 0, used = 0, opening = 0, current = 0, previous = 0 }
local function check_compact(key, plan)
  local quota, family, part, a, b, c = plan[1], plan.family, scratch, 0, 0, 0
  -- The bytes of the quota's stored state before and after the time of the last charge.
  plan.header = plan.header or pack('<BBBB', VERSION, family, 1, 0)
  plan.identity = plan.identity or sub(plan.quotas, 1, 16)
  local text = call('GET', key)
  if text then
    if #text ~= 44 or sub(text, 1, 4) ~= plan.header or sub(text, 13, 28) ~= plan.identity then
      return
    end
    local charged_at = unpack('<d', text, 5)
    a, b, c = unpack('<dI4I4', text, 29)
    if not (charged_at <= now and a <= charged_at + quota.period and b <= quota.limit)
      or a % 1 ~= 0 then return end
  end
  part.dirty, part.floor = nil, now
  set_numbers(family, part, a, b, c)
  advance_compact(family, part, quota)
  if not admits_compact(family, part, quota, plan.cost) then
    if part.dirty or plan.rule then return end
    return pack('<BI8I8I8I8', 4, 0, raw_numbers(family, part))
  end
  charge_compact(family, part, quota, plan.cost)
  call('SET', key,
    plan.header .. pack('<d', now) .. plan.identity .. pack('<dI4I4', stored_numbers(family, part)),
    'PX', millis_until(compact_empty_at(family, part, quota)))
  return pack('<BI8I8I8I8', 4, 1, raw_numbers(family, part))
end
