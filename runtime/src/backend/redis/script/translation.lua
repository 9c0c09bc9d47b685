-- Translation of state that meets another form of its policy: other quotas, or another algorithm.
-- The rules are those of `runtime/src/algorithm/translation.rs`.

-- Returns the quota of a part that is not the plan's.
local function quota_of(family, part)
  local quota = {
    limit = part.limit, capacity = part.capacity, period = part.period,
    granule = granule_of(part.limit, part.period), width = width_of(part.limit, part.period),
  }
  if family == BUCKET then
    quota.full_span, quota.full_fraction = span_of(part.capacity, quota)
  end
  return quota
end

local function copy_of(part)
  local copy = {}
  for name, value in pairs(part) do copy[name] = value end
  return copy
end

-- Returns true if the part is of the form in force, or its time aside is not over. A part whose time
-- is over is forgotten by the next charge.
local function is_kept(part)
  return not part.ends or part.ends > now
end

-- Returns the units that are in use, as far as the state knows.
local function units_of(part)
  local family = part.family
  if family == COUNTER then return part.previous + part.current end
  if family ~= BUCKET then return min(part.used + (part.owed or 0), MAX_UNITS) end
  local span = max(part.tat - part.last, 0)
  local high, low = product(part.limit, span)
  low = low + part.fraction
  local units = ceil((span * part.limit + part.fraction) / part.period)
  -- With a debt, there can be more.
  if units > MAX_UNITS + 1 then return MAX_UNITS end
  local whole_high, whole_low = product(units, part.period)
  local rest = (whole_high - high) * 1073741824 + whole_low - low
  while rest < 0 do units, rest = units + 1, rest + part.period end
  while rest >= part.period do units, rest = units - 1, rest - part.period end
  return min(units, MAX_UNITS)
end

-- Charges units that another quota has admitted, also beyond this one's limit. Returns true if the
-- state could not take all of them.
local function charge_beyond(family, part, quota, units)
  if family == LOG then
    units = min(units, MAX_UNITS - part.used)
    if units > 0 then
      if has_steps(part) and part.used + units > RESOLUTION then to_list(part) end
      charge_log(part, { granule = granule_of(max(quota.limit, part.count + 1), quota.period) },
        units)
    end
  elseif family == BUCKET then
    local tat, fraction = charged_tat(part, quota, span_of(min(units, quota.capacity), quota))
    local full = max(now, part.floor) + quota.full_span
    return raise_tat(part, full, quota.full_fraction, tat, fraction)
  else
    charge(family, part, quota, units)
    return (family == COUNTER and part.current or part.used) == MAX_UNITS
  end
end

-- Charges units that a request took without having been admitted for them.
local function charge_debt(family, part, quota, units)
  if family == FIXED then return charge_fixed_debt(part, quota, units) end
  if family == BUCKET then return charge_bucket_debt(part, quota, units) end
  charge_beyond(family, part, quota, units)
end

-- Charges units as admitted at `at`, which is not after the present time. What has expired under the
-- new quota is not charged to its log.
local function replay(family, part, quota, at, units)
  if units == 0 or family == LOG and at + quota.period <= now then return end
  if part.calendar then
    -- The units of earlier windows are not in use.
    if at < quota.today.from then return end
    part.today = window_of(part.calendar, at)
    if not part.today then
      want(part.calendar, OF_INSTANT, at)
      ask()
    end
  end
  local present = now
  now = at
  part.floor = at
  if family ~= LOG then advance(family, part, quota) end
  charge_beyond(family, part, quota, units)
  now = present
end

-- Returns the state of a new quota by the admissions that the part `source` knows.
local function derived(family, quota, source)
  local part = new_part(family, quota)
  part.since, part.floor = 0, now
  if not source then return part end
  if family == LOG and source.family == LOG and source.width == 4 and quota.width == 4 then
    -- The same entries, of which those that have expired are removed later.
    part = copy_of(source)
    part.ends, part.floor = nil, max(now, source.last)
    return part
  end
  part.since = (family == LOG and source.family == LOG) and source.since or now
  if source.family == LOG then
    work = work + 2 * source.count
    if family == LOG then part.list = {} end
    for k = 0, source.count - 1 do
      local time, units = entry(source, k)
      replay(family, part, quota, time, units)
    end
  elseif source.family == COUNTER then
    replay(family, part, quota, max(source.start - source.period, 0), source.previous)
    replay(family, part, quota, source.start, source.current)
  elseif source.family == FIXED then
    replay(family, part, quota, source.start, units_of(source))
  else
    replay(family, part, quota, source.last, units_of(source))
  end
  part.today = quota.today
  -- A window tells its units as admitted when it opened.
  local is_window = source.family == FIXED or source.family == COUNTER
  part.floor = max(now, is_window and source.start or source.last)
  return part
end

-- Returns the part from which that of a new quota is derived: the first choice is a log that knows
-- the whole period, then the part with the shortest period that contains the quota's, else the one
-- with the longest. Of several, it is the one that is in use for the longest time; for a bucket the
-- one that fills it most.
local function source_of(stored, family, quota)
  local best, most
  local function use_until(part)
    if family ~= BUCKET then return empty_at(part.family, part, part) end
    return compact_empty_at(family, derived(family, quota, part))
  end
  for _, part in ipairs(stored) do
    local covers, is_log = part.period >= quota.period, part.family == LOG and 1 or 0
    local preference = { covers and 1 + is_log or 0, covers and -part.period or part.period, is_log }
    local differs = 1
    while most and differs < 4 and preference[differs] == most[differs] do
      differs = differs + 1
    end
    -- Of equal ones, the first is taken.
    local is_better = not most
    if most and differs < 4 then is_better = preference[differs] > most[differs] end
    if differs == 4 then is_better = use_until(part) > use_until(best) end
    if is_better then best, most = part, preference end
  end
  return best
end

-- Returns true if the part lacks no charge that can still be in use.
local function is_complete(family, part, quota)
  if part.since == 0 then return true end
  local use = quota.period + (quota.calendar and MAX_MORE or 0)
  if family == COUNTER then use = 2 * use end
  if family == BUCKET then use = quota.full_span + (quota.full_fraction > 0 and 1 or 0) end
  return part.since + use <= now
end

-- Returns the time from which on no units are in use by the stored parts.
local function find_ends(stored)
  local ends = 0
  for _, part in ipairs(stored) do
    if part.calendar then find_end(part) end
  end
  if wanted then ask() end
  for _, part in ipairs(stored) do ends = max(ends, empty_at(part.family, part, part)) end
  return ends
end

-- Translates the stored parts to the form of the plan. Returns its parts, and those set aside.
local function translate(plan, stored, was_empty)
  local family, known, parts, aside = plan.family, {}, {}, {}
  for _, part in ipairs(stored) do
    local ends = empty_at(part.family, part, part)
    if ends > now and is_kept(part) then
      known[#known + 1] = copy_of(part)
      -- Another bucket may be too small to know all that was admitted, so this one stays for a period.
      if part.family == BUCKET then ends = max(ends, now + part.period) end
      known[#known].ends = part.ends or ends
    end
  end
  for i = 1, plan.count do
    for _, part in ipairs(stored) do
      if not parts[i] and is_like(part.family, part, family, plan[i]) then
        parts[i] = copy_of(part)
        parts[i].ends = nil
      end
    end
    parts[i] = parts[i]
      or derived(family, plan[i], not was_empty and source_of(stored, family, plan[i]) or nil)
    if is_complete(family, parts[i], plan[i]) then parts[i].since = 0 end
  end
  for _, part in ipairs(known) do
    local is_new = true
    for i = 1, plan.count do
      is_new = is_new and not is_like(part.family, part, family, plan[i])
    end
    for _, other in ipairs(aside) do
      is_new = is_new and not is_like(part.family, part, other.family, other)
    end
    if is_new then aside[#aside + 1] = part end
  end
  while #aside > 4 do
    local least = 1
    for k = 2, #aside do
      if units_of(aside[k]) < units_of(aside[least]) then least = k end
    end
    table.remove(aside, least)
  end
  return parts, aside
end

-- Forgets the parts aside whose time is over. The others are advanced, and passed to `charge_part`,
-- each with its quota.
local function charge_aside(state, charge_part)
  local kept = {}
  for _, part in ipairs(state.aside) do
    if is_kept(part) and empty_at(part.family, part, part) > now then
      local quota = quota_of(part.family, part)
      advance(part.family, part, quota)
      charge_part(part, quota)
      kept[#kept + 1] = part
    end
  end
  state.aside = kept
end

-- Charges a debt to every part.
local function charge_debts(state, plan)
  local units, family = -plan.back, state.family
  state.charged_at, state.dirty = now, true
  for i = 1, state.count do
    local part = state[i]
    charge_debt(family, part, state.native and plan[i] or part.quota, units)
    if family == BUCKET then state.charged_at = max(state.charged_at, part.floor) end
  end
  charge_aside(state, function(part, quota) charge_debt(part.family, part, quota, units) end)
end

-- Charges an admitted cost to the parts that are set aside.
local function charge_along(state, plan)
  local complete = true
  charge_aside(state, function(part, quota)
    if charge_beyond(part.family, part, quota, plan.cost) then part.since = now end
  end)
  for i = 1, plan.count do complete = complete and is_complete(plan.family, state[i], plan[i]) end
  if #state.aside == 0 and complete then
    for i = 1, plan.count do state[i].since = 0 end
    state.changed_at = nil
  end
end

-- Gives a part the form of a quota of the plan.
local function take_form(part, family, quota)
  part.family, part.limit, part.capacity, part.period =
    family, quota.limit, quota.capacity, quota.period
end

-- Gives a state without any units in use the form of the plan.
local function renew(state, plan)
  state.family, state.count, state.aside, state.changed_at = plan.family, plan.count, {}, nil
  state.native, state.same, state.rewrite = true, state.own, true
  for i = 1, plan.count do
    state[i] = derived(plan.family, plan[i])
    state[i].floor, state[i].quota = now, plan[i]
    if state.own then take_form(state[i], plan.family, plan[i]) end
  end
end

-- Loads the state of a key: in the form of the plan, or, if the plan says so, in its own form. With
-- `raw` it is in its own form, and as its last change has left it.
local function load(key, plan, value, raw)
  raw = raw or plan.raw
  local own = raw or plan.own
  local state = {
    key = key, quotas = plan.quotas, family = plan.family, count = plan.count, own = own, raw = raw,
    checks = {}, native = true, charged_at = now,
  }
  local text = value or call('GETRANGE', key, 0, 399)
  if text == '' then
    renew(state, plan)
    return state
  end
  state.exists, work = true, work + 6 + 4 * plan.count
  local stored = decode(key, text)
  state.charged_at, state.stored_at = stored.charged_at, stored.charged_at
  state.ban, state.rest, state.tail, state.tail_at =
    stored.ban, stored.rest, stored.tail, stored.tail_at
  state.native = stored.family == plan.family and stored.count == plan.count
  local same, twice, periods = true, false, {}
  for i = 1, plan.count do
    state.native = state.native and is_like(stored.family, stored[i], plan.family, plan[i])
    same = same and state.native and stored[i].limit == plan[i].limit
    twice, periods[plan[i].period] = twice or periods[plan[i].period], true
  end
  -- A refund asks in the form that is stored. Of two quotas of one period, each could be in the
  -- other's place.
  state.native = state.native and (same or not (own or twice))
  state.same = same and state.native
  state.changed_at = stored.changed and stored.changed_at or nil
  local parts, aside = {}, {}
  for i, part in ipairs(stored) do
    if part.calendar then find_today(part, own and (plan.back or 0) < 0) end
    if i > stored.count then aside[#aside + 1] = part else parts[i] = part end
  end
  if wanted then ask() end
  state.rewrite = #aside > 0 or stored.changed
  if not same and not own then state.ends = find_ends(stored) end
  if not state.native and not own then
    local was_empty = state.ends <= now
    parts, aside = translate(plan, stored, was_empty)
    state.rewrite = true
    state.changed_at = not was_empty and state.changed_at or now
  elseif not state.native then
    state.family, state.count = stored.family, stored.count
  end
  if state.rewrite then
    for _, part in ipairs(stored) do work = work + (part.slots or 0) / 32 end
  end
  state.aside = aside
  local folded
  for i = 1, state.count do
    local part = parts[i]
    state[i] = part
    part.quota = (own and not state.native) and quota_of(part.family, part) or plan[i]
    if not raw then
      if state.family == LOG and part.width ~= part.quota.width
        and (part.width == 4 or part.used <= RESOLUTION) then to_list(part) end
      advance(state.family, part, part.quota)
    end
    state.advanced = state.advanced or part.dirty
    folded = folded or part.folded
  end
  if folded then
    state.charged_at = now
    for i = 1, state.count do state[i].floor = now end
    for _, part in ipairs(aside) do
      if part.family == BUCKET then advance(BUCKET, part) end
    end
  end
  -- A translation is stored only by a charge.
  if not same and not own then state.advanced = false end
  return state
end
