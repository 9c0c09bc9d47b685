-- One check of the slow path. Checks of the same key and policy share a state, which is written
-- once, after the last of these checks.

-- Writes the state to its key. If that fails, none of the state's checks had any effect, and each
-- gets the error as its reply.
local function finish(state)
  if not state.dirty then return end
  local done, failure = pcall(write, state)
  if not done then
    for _, number in ipairs(state.checks) do replies[number + 1] = encode_error(failure) end
  end
end

local function check(number, key, plan)
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
    state = load(key, plan)
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
