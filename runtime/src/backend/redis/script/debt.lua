-- Debts: units that requests took without having been admitted for them. Only a fixed window keeps
-- some of them apart, in `owed`; nil if there are none.

-- Returns the largest number of units with which a bucket drains in ten years.
local function max_burst(quota)
  local limit, period = quota.limit, quota.period
  local units = min(floor(limit * MAX_FILL / period), MAX_UNITS)
  local high, low = product(limit, MAX_FILL)
  local function takes_longer(more)
    local more_high, more_low = product(more, period)
    return more_high > high or (more_high == high and more_low > low)
  end
  -- The division may be off by one.
  while takes_longer(units) do units = units - 1 end
  while units < MAX_UNITS and not takes_longer(units + 1) do units = units + 1 end
  return units
end

-- Returns the units that the windows after this one have to take: at most what those of ten years
-- can.
local function owed_of(part, quota)
  return min(part.owed, quota.limit * floor(MAX_FILL / quota.period))
end

-- Returns true if the window of a part is over.
local function is_over(part, quota)
  if part.calendar then return is_past(part) end
  return part.start + quota.period <= now
end

-- Moves to the window at the present time, which takes the rest of the debt, if any is left.
local function follow(part, quota)
  local limit, period, today = quota.limit, quota.period, part.today
  local passed = part.calendar and today.number - part.number or floor((now - part.start) / period)
  local owed = owed_of(part, quota) - (passed - 1) * limit
  part.dirty, part.owed = true, nil
  if owed <= 0 then
    part.start, part.used, part.opening = 0, 0, 0
    return
  end
  part.start, part.used = part.start + period * passed, min(owed, limit)
  part.opening = part.used
  if part.calendar then
    part.start = today.from
    set_window(part, today)
  end
  if owed > part.used then part.owed = owed - part.used end
end

-- Returns the window at the present time, which takes a part of the debt if this one is over.
local function window_at(part, quota)
  if not part.owed or not is_over(part, quota) then return part end
  local window = {
    start = part.start, used = part.used, opening = part.opening, owed = part.owed,
    calendar = part.calendar, from = part.from, till = part.till, number = part.number,
    today = part.today,
  }
  follow(window, quota)
  return window
end

-- Charges units to the window of the present time, or opens one.
local function charge_window(part, quota, units)
  if part.owed and is_over(part, quota) then follow(part, quota) end
  if part.used == 0 then
    part.start = now
    if part.calendar then set_window(part, part.today) end
  end
  if part.start == now then part.opening = min(part.opening + units, MAX_UNITS) end
  part.used = min(part.used + units, MAX_UNITS)
end

-- Moves so many units of the debt into the window, as far as it has them.
local function fill_up(part, units)
  local moved = min(part.owed, units)
  part.used = part.used + moved
  part.owed = part.owed > moved and part.owed - moved or nil
end

-- Returns true if the bucket's level exceeds that of this TAT.
local function exceeds(tat, fraction, other, other_fraction)
  return tat > other or (tat == other and fraction > other_fraction)
end

-- Sets the TAT, but at most to `most`, unless a debt has raised it further before. Returns true if
-- it is not what was asked for.
local function raise_tat(part, most, most_fraction, tat, fraction)
  local too_much = exceeds(tat, fraction, most, most_fraction)
  if too_much then
    tat, fraction = most, most_fraction
    if exceeds(part.tat, part.fraction, tat, fraction) then
      tat, fraction = part.tat, part.fraction
    end
  end
  part.tat, part.fraction = tat, fraction
  return too_much
end

-- Charges a debt to a fixed window: it fills the window, and what is left is owed.
local function charge_fixed_debt(part, quota, units)
  charge_window(part, quota, 0)
  local fits = min(units, part.owed and 0 or max(quota.limit - part.used, 0))
  charge_window(part, quota, fits)
  part.owed = min((part.owed or 0) + units - fits, MAX_UNITS)
  part.owed = part.owed > 0 and owed_of(part, quota) or nil
end

-- Charges a debt to a bucket: it raises the level to ten years at most.
local function charge_bucket_debt(part, quota, units)
  raise_tat(part, part.floor + MAX_FILL, 0,
    charged_tat(part, quota, span_of(min(units, max_burst(quota)), quota)))
end
