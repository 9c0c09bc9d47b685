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
  if state and (state.quotas ~= plan.quotas or state.family ~= family or action == RESET) then
    finish(state)
    state, states[key] = nil, nil
  end
  if action == RESET then
    call('DEL', key)
    return encode_reply({ 1 })
  end
  if not state then
    state = load(key, plan)
    states[key] = state
    loaded[#loaded + 1] = state
  end
  state.checks[#state.checks + 1] = number

  if action == REFUND then
    local any = false
    -- Another release's state was converted, which does not identify single charges.
    if state.foreign then return encode_reply({ 0 }) end
    for i = 1, plan.count do
      any = refund(family, state[i], plan[i], plan.stamp, cost) or any
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
      for i = 1, plan.count do
        local part, quota, more = state[i], plan[i], 0
        if part.foreign then
          part.limit, part.period = quota.limit, quota.period
          more = max(units_at(part.family, part.foreign, now) - units_at(family, part, now), 0)
          part.foreign = nil
        end
        charge(family, part, quota, cost, more)
      end
      state.charged_at, state.dirty, state.foreign = now, true, nil
    end
  end
  local reply = { admitted and 1 or 0 }
  for i = 1, plan.count do report(family, state[i], plan[i], cost, not admitted, reply) end
  return encode_reply(reply)
end
