-- One check of the slow path. Checks of the same key and policy share a state, which is written
-- once, after the last of these checks.

local clock = now
local states, loaded = {}, {}
-- The beginnings of the replies to checks whose key had a value that could not be read.
local replaced = {}

local function text_of(failure)
  return type(failure) == 'table' and failure.err or tostring(failure)
end

local function encode_text(mark, text)
  return pack('<BI4', mark, #text) .. text
end

local function encode_error(failure)
  return encode_text(255, text_of(failure))
end

-- The words in the errors of values that are not ours, or cut, or bent.
local UNREADABLE = { 'TOLLGATE', 'WRONGTYPE', 'too short', 'attempt to', 'bad argument' }

local function is_unreadable(text)
  for _, word in ipairs(UNREADABLE) do
    if string.find(text, word, 1, true) then return true end
  end
end

-- Returns the state of a key whose value cannot be read: all units of the plan's quotas are in use
-- since now. So nobody is admitted beyond a limit, and all units are free after one period. A charge
-- before now is not in it, so it cannot be refunded.
local function used_up(key, plan, checks)
  local family = plan.family
  local state = {
    key = key, quotas = plan.quotas, family = family, plan_family = family, count = plan.count,
    own = plan.action == REFUND, checks = checks, aside = {}, native = true, charged_at = now,
    changed_at = now, rewrite = true, exists = true, dirty = true, is_replacement = true,
  }
  for i = 1, plan.count do
    local quota = plan[i]
    local part = new_part(family, quota)
    part.family, part.limit, part.capacity, part.period =
      family, quota.limit, quota.capacity, quota.period
    part.since, part.floor, part.quota = now, now, quota
    if family == LOG then
      charge_log(part, quota, quota.limit)
    elseif family == COUNTER then
      part.start, part.previous = now, quota.limit
    elseif family == FIXED then
      part.start, part.used, part.opening = now, quota.limit, quota.limit
    else
      part.tat, part.fraction = now + quota.full_span, quota.full_fraction
    end
    state[i] = part
  end
  return state
end

local check, finish, recover

-- Writes the state to its key. If that fails, none of the state's checks had any effect. They get
-- the error as their reply, or are carried out once more if the value turns out to be unreadable.
function finish(state)
  if not state.dirty then return end
  local done, failure = pcall(write, state)
  if done then return end
  local text, key = text_of(failure), state.key
  if not is_unreadable(text) or state.is_replacement then
    for _, number in ipairs(state.checks) do replies[number + 1] = encode_error(failure) end
    return
  end
  for _, number in ipairs(state.checks) do
    local plan = plan_of(byte(plan_numbers, number))
    states[key] = states[key] ~= state and states[key] or used_up(key, plan, {})
    replaced[number] = encode_text(254, text)
    replies[number + 1] = replaced[number] .. check(number, key, plan)
  end
  finish(states[key])
end

-- Carries out a check. `value` is the beginning of the key's value, if that is known.
function check(number, key, plan, value)
  local action, family, cost = plan.action, plan.family, plan.cost
  local state = states[key]
  if state and (state.quotas ~= plan.quotas or state.plan_family ~= family or action == RESET
    or not (state.native or state.own == (action == REFUND))) then
    finish(state)
    state, states[key] = nil, nil
  end
  if action == RESET then
    call('DEL', key)
    return encode_reply({ 1 })
  end
  if not state then
    state = load(key, plan, value)
    state.plan_family = family
    states[key] = state
    loaded[#loaded + 1] = state
  end
  state.checks[#state.checks + 1] = number

  if action == REFUND then
    local any = false
    for i = 1, state.count do
      local part = state[i]
      local quota = state.native and plan[i] or part.quota
      any = refund(state.family, part, quota, plan, state.changed_at) or any
    end
    for _, part in ipairs(state.aside) do
      local quota = quota_of(part.family, part, cost)
      advance(part.family, part, quota)
      state.dirty = state.dirty or part.dirty
      any = refund(part.family, part, quota, plan, state.changed_at) or any
    end
    if any then state.dirty = true end
    return encode_reply({ any and 1 or 0 })
  end

  local admitted = true
  if cost > 0 then
    for i = 1, plan.count do
      if not admits(family, state[i], plan[i], cost) then admitted = false end
    end
    if admitted and action == CHARGE then
      state.charged_at = now
      for i = 1, plan.count do
        local part, quota = state[i], plan[i]
        charge(family, part, quota, cost)
        part.family, part.limit, part.capacity, part.period =
          family, quota.limit, quota.capacity, quota.period
        if family == BUCKET then state.charged_at = max(state.charged_at, part.floor) end
      end
      charge_along(state, plan)
      state.dirty, state.native = true, true
    end
  end
  -- The status has the time by which the clock is behind a bucket's last charge.
  local behind = 0
  for i = 1, family == BUCKET and plan.count or 0 do behind = max(behind, state[i].floor - now) end
  local reply = { (admitted and 1 or 0) + 2 * behind }
  for i = 1, plan.count do report(family, state[i], plan[i], cost, not admitted, reply) end
  return encode_reply(reply)
end
