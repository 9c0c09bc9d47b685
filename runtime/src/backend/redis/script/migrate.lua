-- Loading the state of a key. It may have been stored by a release whose policy had other quotas or
-- another algorithm.

-- Returns the number of units that were in use at `at`, by the rules under which the state was
-- stored.
local function units_at(family, part, at)
  if family == LOG then
    local used = part.used
    for k = 0, part.count - 1 do
      local time, units = entry(part, k)
      if time + part.period > at then break end
      used = used - units
    end
    return used
  elseif family == COUNTER then
    local elapsed, previous, current = max(at - part.start, 0), part.previous, part.current
    if elapsed >= part.period then
      elapsed, previous, current = elapsed - part.period, current, 0
    end
    if elapsed >= part.period then return 0 end
    return current + ceil(previous * ((part.period - elapsed) / part.period) - 0.000001)
  elseif family == FIXED then
    return at < part.start + part.period and part.used or 0
  end
  local level = part.tat - at + part.fraction / part.limit
  return level > 0 and level * part.limit / part.period or 0
end

-- Converts another release's state to this one's rules: the units that were in use at its last
-- charge count as charged at that time, up to a full quota. So no subject is refused for longer
-- than a full quota takes to replenish.
local function converted(family, quota, stored, old)
  local charged_at = min(stored.charged_at, now)
  local units = min(units_at(stored.family, old, stored.charged_at), quota.capacity)
  local part = new_part(family, quota)
  part.foreign = old
  if units == 0 then return part end
  if family == LOG and stored.family == LOG then
    -- Both algorithms are logs, so the time of each entry is known.
    part.list, part.used = {}, old.used
    for k = 0, old.count - 1 do part.list[k + 1] = { entry(old, k) } end
    update_header(part)
  elseif family == LOG then
    units = ceil(units - 0.000001)
    part.list, part.used = { { charged_at, units } }, units
    update_header(part)
  elseif family == COUNTER then
    part.start, part.current = charged_at - charged_at % quota.period, ceil(units - 0.000001)
  elseif family == FIXED then
    part.start, part.used = charged_at, ceil(units - 0.000001)
    part.opening = part.used
  else
    part.tat, part.fraction = span_of(units, quota)
    part.tat = part.tat + charged_at
  end
  return part
end

-- Returns true if this release would have stored the same state.
local function is_native(family, quota, stored, old)
  if stored.family ~= family or old.period ~= quota.period then return false end
  if family ~= BUCKET then return true end
  local full = stored.charged_at + quota.full_span
  return old.limit == quota.limit and old.capacity == quota.capacity
    and (old.tat < full or (old.tat == full and old.fraction <= quota.full_fraction))
end

-- Returns the stored state for each quota: one with the same period, and otherwise one of those
-- left over, the longest period first.
local function matched(plan, stored)
  local same = stored.count == plan.count
  for i = 1, plan.count do same = same and stored[i].period == plan[i].period end
  if same then return stored end
  local found, taken = {}, {}
  for i = 1, plan.count do
    for j = 1, stored.count do
      if not found[i] and not taken[j] and stored[j].period == plan[i].period then
        found[i], taken[j] = stored[j], true
      end
    end
  end
  for i = 1, plan.count do
    local longest
    for j = 1, stored.count do
      if not found[i] and not taken[j]
        and (not longest or stored[j].period > stored[longest].period) then
        longest = j
      end
    end
    if longest then found[i], taken[longest] = stored[longest], true end
  end
  return found
end

local function load(key, plan)
  local state = { key = key, quotas = plan.quotas, family = plan.family, plan = plan, checks = {} }
  local text = call('GETRANGE', key, 0, 255)
  if text == '' then
    state.charged_at = now
    for i = 1, plan.count do state[i] = new_part(plan.family, plan[i]) end
    state.rewrite = true
    return state
  end
  state.exists = true
  local stored = decode(key, text)
  local found = matched(plan, stored)
  state.charged_at = min(stored.charged_at, now)
  state.rewrite = found ~= stored or stored.family ~= plan.family
  for i = 1, plan.count do
    local quota, old = plan[i], found[i]
    if not old then
      state[i] = new_part(plan.family, plan[i])
    elseif is_native(plan.family, quota, stored, old) then
      state[i] = old
    else
      state[i] = converted(plan.family, quota, stored, old)
      state[i].family = stored.family
      state.foreign, state.rewrite = true, true
    end
    local part = state[i]
    advance(plan.family, part, quota)
    state.dirty = state.dirty or part.dirty
  end
  -- Reading alone does not store a conversion, because the other release may still count units that
  -- this one's rules have dropped.
  if state.foreign then state.dirty = false end
  return state
end
