-- The operations on a quota's state, for any algorithm.

local function advance(family, part, quota)
  if family == LOG then return advance_log(part, quota) end
  return advance_compact(family, part, quota)
end

local function admits(family, part, quota, cost)
  if family == LOG then return part.used + cost <= quota.limit end
  return admits_compact(family, part, quota, cost)
end

local function report(family, part, quota, cost, refused, reply)
  if family == LOG then return report_log(part, quota, cost, refused, reply) end
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3] = raw_numbers(family, part)
end

local function charge(family, part, quota, cost)
  if family == LOG then return charge_log(part, quota, cost) end
  charge_compact(family, part, quota, cost)
end

local function refund_bucket(part, quota, stamp)
  local elapsed = part.floor - stamp
  local level, fraction = part.tat - part.floor, part.fraction
  local back, back_fraction = quota.cost_span - elapsed, quota.cost_fraction
  if elapsed < 0 or level < 0 or back < 0 or (level == 0 and fraction == 0)
    or (back == 0 and back_fraction == 0) then return false end
  if back > level or (back == level and back_fraction >= fraction) then
    part.tat, part.fraction = 0, 0
  else
    part.tat, part.fraction = part.tat - back, fraction - back_fraction
    if part.fraction < 0 then
      part.tat, part.fraction = part.tat - 1, part.fraction + quota.limit
    end
  end
  return true
end

-- Refunds a charge. Returns false if the charge is no longer in use, and then nothing has changed.
local function refund(family, part, quota, stamp, cost)
  -- The part may lack charges of that time.
  if part.since > 0 and part.since >= stamp then return false end
  if family == LOG then
    return refund_log(part, quota, stamp, cost)
  elseif family == COUNTER then
    local elapsed = stamp - part.start
    if elapsed >= 0 and elapsed < quota.period and part.current >= cost then
      part.current = part.current - cost
    elseif elapsed < 0 and -elapsed <= quota.period and part.previous >= cost then
      part.previous = part.previous - cost
    else
      return false
    end
    return true
  elseif family == FIXED then
    if part.used == cost and part.start == stamp then
      part.start, part.used, part.opening = 0, 0, 0
    elseif part.start == stamp and part.opening > cost then
      part.opening, part.used = part.opening - cost, part.used - cost
    elseif part.start < stamp and part.used - part.opening >= cost then
      part.used = part.used - cost
    else
      return false
    end
    return true
  end
  return refund_bucket(part, quota, stamp)
end

local function empty_at(family, part, quota)
  if family == LOG then return part.count > 0 and part.last_time + quota.period or 0 end
  return compact_empty_at(family, part, quota)
end
