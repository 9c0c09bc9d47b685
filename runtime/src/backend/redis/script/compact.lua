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
  elseif part.tat > now + quota.full_span
    or (part.tat == now + quota.full_span and part.fraction > quota.full_fraction) then
    part.tat, part.fraction, part.dirty = now + quota.full_span, quota.full_fraction, true
  end
end

local function admits_compact(family, part, quota, cost)
  if family == BUCKET then
    local tat, fraction = charged_tat(part, quota)
    return tat < now + quota.full_span
      or (tat == now + quota.full_span and fraction <= quota.full_fraction)
  elseif family == FIXED then
    return part.used + cost <= quota.limit
  end
  local room = quota.limit - cost - min(part.current, quota.limit)
  return room >= 0 and weighs_at_most(min(part.previous, quota.limit),
    quota.period - (now - part.start), room, quota.period)
end

-- Returns the numbers of a quota's state that the reply contains.
local function raw_numbers(family, part, quota)
  if family == COUNTER then
    return part.start, min(part.current, quota.limit), min(part.previous, quota.limit)
  end
  if family == FIXED then return part.start, part.used, part.opening end
  if part.tat > now + quota.full_span
    or (part.tat == now + quota.full_span and part.fraction > quota.full_fraction) then
    -- Another release has charged more than fits into this release's bucket.
    return now + quota.full_span, quota.full_fraction
  end
  return part.tat, part.fraction
end

-- Charges the cost, and also `more` units, which are in use only under another release's limit.
local function charge_compact(family, part, quota, cost, more)
  if family == BUCKET then
    part.tat, part.fraction = charged_tat(part, quota)
    if more > 0 then
      local micros, fraction = span_of(more, quota)
      part.tat, part.fraction = part.tat + micros, part.fraction + fraction
      if part.fraction >= quota.limit then
        part.tat, part.fraction = part.tat + 1, part.fraction - quota.limit
      end
    end
  elseif family == COUNTER then
    part.current = min(part.current + cost + ceil(more), MAX_UNITS)
  else
    if part.used == 0 then part.start = now end
    part.used = min(part.used + cost + ceil(more), MAX_UNITS)
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
