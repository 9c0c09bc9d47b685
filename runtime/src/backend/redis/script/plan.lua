-- Decoding of plans. One plan may serve many checks of a call.

local decoded = {}

-- Returns the granule of a log; 1 if its admissions share no entries.
local function granule_of(limit, period)
  return limit <= RESOLUTION and 1 or ceil(period / RESOLUTION)
end

-- Returns the width of the entries of a log, in bytes.
local function width_of(limit, period)
  return limit <= RESOLUTION and period < STEPS and 4 or 12
end

-- Reads what a plan says of permits. Its quotas are asked by a plan without permits: `inner` to charge
-- them, and `looks` only to look.
local function read_permit(plan, action, text)
  local permit = { takes = action == CHARGE, reports = action == REPORT }
  permit.owner, permit.number, permit.have, permit.is_exact, permit.limit, permit.hold,
    permit.released = unpack('<c8dI4I4I4dd', text, #text - PERMIT + 1)
  plan.permit, plan.inner, plan.looks = permit, {}, {}
  for name, value in pairs(plan) do
    if name ~= 'permit' then plan.inner[name], plan.looks[name] = value, value end
  end
  plan.looks.action, plan.looks.rule = PEEK, nil
end

-- Reads what follows the costs in the plans of some actions. Returns the place after it.
local function read_rest(plan, text, at)
  local action = plan.action
  if action == COUNTED_CHARGE then
    local rule, window = {}, 0
    rule.after, rule.grow, rule.first, rule.most = unpack('<I4I4dd', text, at)
    for i = 1, plan.count do window = max(window, plan[i].period) end
    rule.window, plan.rule, plan.action = window, rule, CHARGE
    return at + 24
  end
  -- These find the state in its own form. `back` is the units to give back; negative if they are a
  -- debt. Without any, the quotas stay as the last change has left them.
  plan.own, plan.back = true, plan.cost
  if action == SETTLE then
    plan.back, at = plan.cost - unpack('<I4', text, at), at + 4
  end
  plan.raw = action == BAN or action == UNBAN or plan.back == 0
  if action == FORGIVE then plan.action, plan.forgives = REFUND, true end
  return at
end

local function plan_of(number)
  local plan = decoded[number]
  if not plan then
    local text = plans[number + 2]
    local family, action, count, spaced, cost, stamp, at = unpack('<BBBBI4d', text)
    local has_permit = action >= WITH_PERMIT
    action = action % WITH_PERMIT
    local quotas = sub(text, at, at + count * 28 - 1)
    plan = {
      family = family, action = action, count = count, cost = cost, stamp = stamp, quotas = quotas,
    }
    local costs_at = at + count * 28
    for i = 1, count do
      -- For a bucket, `full_span` is the time to replenish its capacity, and `cost_span` the time
      -- to replenish the cost; `usable_span` is that of the part which one request may use: all, or
      -- its own cost, if requests leave a queue at even intervals. Fractions are in 1/limit of a microsecond.
      local limit, capacity, period, full_span, full_fraction, cost_span, cost_fraction
      limit, capacity, period, full_span, full_fraction, at = unpack('<I4I4ddI4', text, at)
      cost_span, cost_fraction, costs_at = unpack('<dI4', text, costs_at)
      plan[i] = {
        usable_span = spaced == 1 and cost_span or full_span,
        usable_fraction = spaced == 1 and cost_fraction or full_fraction,
        limit = limit, capacity = capacity, period = period,
        full_span = full_span, full_fraction = full_fraction,
        cost_span = cost_span, cost_fraction = cost_fraction,
        granule = granule_of(limit, period), width = width_of(limit, period),
      }
    end
    if action >= REFUND and action ~= REPORT then costs_at = read_rest(plan, text, costs_at) end
    local ends = has_permit and #text - PERMIT or #text
    if costs_at <= ends then
      plan.calendars = sub(text, costs_at, ends)
      plan.quotas = quotas .. plan.calendars
    end
    plan.is_compact = (family == COUNTER or family == FIXED) and count == 1
      and plan.action == CHARGE and not plan.calendars and not has_permit
    if has_permit then read_permit(plan, plan.action, text) end
    decoded[number] = plan
  end
  return plan
end
