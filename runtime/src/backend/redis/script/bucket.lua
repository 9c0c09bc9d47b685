-- Token bucket, leaky bucket and GCRA: one theoretical arrival time (TAT), with a fraction in
-- 1/limit of a microsecond.

-- Returns the time to replenish `units`, which need not be a whole number: microseconds, and a
-- fraction in 1/limit of a microsecond.
local function span_of(units, quota)
  local whole = floor(units + 0.5)
  if math.abs(units - whole) < 0.000001 and whole * quota.period < 9007199254740992 then
    local micros = floor(whole * quota.period / quota.limit)
    return micros, whole * quota.period - micros * quota.limit
  end
  return ceil(units * quota.period / quota.limit), 0
end

-- Returns the TAT after a charge of the plan's cost.
local function charged_tat(part, quota)
  local tat, fraction = part.tat, part.fraction
  if tat < now then tat, fraction = now, 0 end
  tat, fraction = tat + quota.cost_span, fraction + quota.cost_fraction
  if fraction >= quota.limit then tat, fraction = tat + 1, fraction - quota.limit end
  return tat, fraction
end
