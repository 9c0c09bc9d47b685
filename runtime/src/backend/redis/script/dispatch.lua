-- The operations on a quota's state, for any algorithm.

-- Returns true if the part is the state of the quota `other` under the other family.
local function is_like(family, part, other_family, other)
  return family == other_family and part.period == other.period and part.calendar == other.calendar
    and (family ~= BUCKET or (part.limit == other.limit and part.capacity == other.capacity))
end

local function advance(family, part, quota)
  if family == LOG then return advance_log(part, quota) end
  if part.calendar then return advance_calendar(part) end
  -- The windows that a debt takes are stored only with a change.
  if part.owed and part.start <= now then return end
  return advance_compact(family, part, quota)
end

local function admits(family, part, quota, cost)
  if family == LOG then return part.used + cost <= quota.limit end
  if part.owed then
    part = window_at(part, quota)
    if part.owed then return false end
  end
  return admits_compact(family, part, quota, cost)
end

local function report(family, part, quota, cost, refused, reply)
  if family == LOG then return report_log(part, quota, cost, refused, reply) end
  local at = #reply
  if part.owed then part = window_at(part, quota) end
  if part.owed then
    reply[at + 1], reply[at + 2] = part.start, part.used + OWES
    reply[at + 3], reply[at + 4] = part.opening, part.owed
    return
  end
  reply[at + 1], reply[at + 2], reply[at + 3] = raw_numbers(family, part)
end

local function charge(family, part, quota, cost)
  if family == LOG then return charge_log(part, quota, cost) end
  if family == FIXED then return charge_window(part, quota, cost) end
  charge_compact(family, part, quota, cost)
end

local function refund_bucket(part, quota, plan)
  local elapsed = part.floor - plan.stamp
  local level, fraction = part.tat - part.floor, part.fraction
  local back, back_fraction = span_of(min(plan.cost, quota.capacity), quota)
  back = back - elapsed
  if elapsed < 0 or level < 0 or back < 0 or (level == 0 and fraction == 0) then return false end
  if plan.back < plan.cost then
    local most, most_fraction = span_of(min(plan.back, quota.capacity), quota)
    if most < back or (most == back and most_fraction < back_fraction) then
      back, back_fraction = most, most_fraction
    end
  end
  if back == 0 and back_fraction == 0 then return false end
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

-- Returns true if the part has the charge of the plan's form at the plan's stamp for certain. The
-- rule is that of `ChargedUnder` in translation.rs.
local function has_charge(family, part, plan, all_since)
  if part.since > 0 then return part.since < plan.stamp end
  if all_since and all_since <= plan.stamp then return true end
  for i = 1, plan.count do
    if is_like(family, part, plan.family, plan[i]) then return true end
  end
  return false
end

-- Gives back what the plan says of its charge. Returns false if it is no longer in use, or not known to be of this
-- part, and then nothing has changed.
local function refund(family, part, quota, plan, all_since)
  local stamp, cost = plan.stamp, plan.back
  local has = has_charge(family, part, plan, all_since)
  if family == LOG then
    if not has and part.since > 0 then return false end
    -- An entry tells by its time which charge it is.
    return refund_log(part, quota, stamp, cost, not has)
  elseif not has then
    return false
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
    local window = window_at(part, quota)
    if part.calendar then
      if not give_back(window, stamp, cost) then return false end
    elseif window.used == cost and window.start == stamp and not window.owed then
      window.start, window.used, window.opening = 0, 0, 0
    elseif window.start == stamp and window.opening > cost then
      window.opening, window.used = window.opening - cost, window.used - cost
    elseif window.start < stamp and window.used - window.opening >= cost then
      window.used = window.used - cost
    else
      return false
    end
    if window.owed then fill_up(window, cost) end
    if window.used == 0 then window.start, window.opening = 0, 0 end
    part.start, part.used, part.opening, part.owed =
      window.start, window.used, window.opening, window.owed
    if part.calendar then set_window(part, window) end
    return true
  end
  return refund_bucket(part, quota, plan)
end

local function empty_at(family, part, quota)
  if family == LOG then return part.count > 0 and part.last_time + quota.period or 0 end
  if part.calendar then return calendar_empty_at(part, quota) end
  local ends = compact_empty_at(family, part, quota)
  if part.owed then ends = ends + ceil(owed_of(part, quota) / quota.limit) * quota.period end
  return ends
end
