-- Token bucket, leaky bucket and GCRA: one theoretical arrival time (TAT), with a fraction in
-- 1/limit of a microsecond.

-- Returns the time to replenish whole `units`: microseconds, and the fraction.
local function span_of(units, quota)
  local limit = quota.limit
  local high, low = product(units, quota.period)
  local micros = floor(units * quota.period / limit)
  local whole_high, whole_low = product(limit, micros)
  local rest = (high - whole_high) * 1073741824 + low - whole_low
  -- The division may be off by one.
  while rest < 0 do micros, rest = micros - 1, rest + limit end
  while rest >= limit do micros, rest = micros + 1, rest - limit end
  return micros, rest
end

-- Returns the TAT after a charge that takes `span` to drain. `part.floor` is the time of the last
-- charge, if the clock is behind it, and otherwise the present time.
local function charged_tat(part, quota, span, span_fraction)
  local tat, fraction = part.tat, part.fraction
  if tat < part.floor then tat, fraction = part.floor, 0 end
  tat, fraction = tat + span, fraction + span_fraction
  if fraction >= quota.limit then tat, fraction = tat + 1, fraction - quota.limit end
  return tat, fraction
end
