-- The algorithms whose state is two or three numbers: sliding window counter (COUNTER), fixed
-- window (FIXED), and the bucket of the three others (BUCKET).

local function advance_compact(family, part, quota)
  if family == COUNTER then
    advance_counter(part, quota)
  elseif family == FIXED then
    if part.used == 0 then return end
    if part.start + quota.period <= now then
      part.start, part.used, part.opening, part.dirty = 0, 0, 0, true
    elseif part.start > now then
      part.start, part.opening, part.dirty = now, part.used, true
    end
  elseif part.floor - now > MAX_STEP_BACK then
    -- The clock was set back: the last charge moves to the present time with its level.
    part.tat = max(now + part.tat - part.floor, 0)
    part.floor, part.dirty, part.folded = now, true, true
  end
end

local function admits_compact(family, part, quota, cost)
  if family == BUCKET then
    local tat, fraction = charged_tat(part, quota, quota.cost_span, quota.cost_fraction)
    local latest = part.floor + quota.usable_span
    return tat < latest or (tat == latest and fraction <= quota.usable_fraction)
  elseif family == FIXED then
    return part.used + cost <= quota.limit
  end
  local room = quota.limit - cost - part.current
  return room >= 0
    and weighs_at_most(part.previous, quota.period - (now - part.start), room, quota.period)
end

-- Returns the numbers of a quota's state that the reply contains.
local function raw_numbers(family, part)
  if family == COUNTER then return part.start, part.current, part.previous end
  if family == FIXED then return part.start, part.used, part.opening end
  return part.tat, part.fraction
end

local function charge_compact(family, part, quota, cost)
  if family == BUCKET then
    part.tat, part.fraction = charged_tat(part, quota, quota.cost_span, quota.cost_fraction)
  elseif family == COUNTER then
    part.current = min(part.current + cost, MAX_UNITS)
  else
    if part.used == 0 then part.start = now end
    part.used = min(part.used + cost, MAX_UNITS)
    if part.start == now then part.opening = part.used end
  end
end

-- Returns the time from which on no units are in use. For the windows it is 0 if nothing is stored.
local function compact_empty_at(family, part, quota)
  if family == BUCKET then
    return part.fraction > 0 and part.tat + 1 or part.tat
  elseif family == FIXED then
    return part.used > 0 and part.start + quota.period or 0
  end
  if part.current > 0 then return part.start + 2 * quota.period end
  return part.previous > 0 and part.start + quota.period or 0
end

-- Sets the state from the three numbers that are stored.
local function set_numbers(family, part, a, b, c)
  if family == COUNTER then
    part.start, part.current, part.previous = a, b, c
  elseif family == FIXED then
    part.start, part.used, part.opening = a, b, c
  else
    part.tat, part.fraction = a, b
  end
end

-- Returns the three numbers to store.
local function stored_numbers(family, part)
  if family == COUNTER then return part.start, part.current, part.previous end
  if family == FIXED then return part.start, part.used, part.opening end
  return part.tat, part.fraction, 0
end
