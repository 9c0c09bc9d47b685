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
    own = plan.own, checks = checks, aside = {}, native = true, same = true, charged_at = now,
    changed_at = now, rewrite = true, exists = true, dirty = true, is_replacement = true,
  }
  for i = 1, plan.count do
    local quota = plan[i]
    local part = new_part(family, quota)
    take_form(part, family, quota)
    part.since, part.floor, part.quota = now, now, quota
    if family == LOG then
      charge_log(part, quota, quota.limit)
    elseif family == COUNTER then
      part.start, part.previous = now, quota.limit
    elseif family == FIXED then
      part.start, part.used, part.opening = now, quota.limit, quota.limit
      if part.calendar then set_window(part, part.today) end
    else
      part.tat, part.fraction = now + quota.full_span, quota.full_fraction
    end
    state[i] = part
  end
  return state
end

local check, check_permit, finish, recover

-- Writes the state to its key. If that fails, none of the state's checks had any effect. They get
-- the error as their reply, or are carried out once more if the value turns out to be unreadable.
function finish(state)
  -- Time alone does not empty a key: it expires, and until then tells since when it is there.
  if not state.dirty and not (state.advanced and end_of(state) > now) then return end
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

-- Returns true if a state that is loaded is what the plan needs.
local function serves(state, plan)
  if state.quotas ~= plan.quotas or state.plan_family ~= plan.family or plan.action == RESET then
    return false
  elseif state.raw then
    return plan.raw
  end
  return state.own == plan.own or state.native and (state.same or not plan.own)
end

-- Loads a state for a check.
local function begin(number, key, plan, value, raw)
  windows, wanted = plan.windows, nil
  local state = load(key, plan, value, raw)
  state.plan_family = plan.family
  states[key] = state
  loaded[#loaded + 1] = state
  state.checks[1] = number
  return state
end

-- Counts a refusal of a check in the state, whose form stays. Returns the time until the ban that it
-- has begun ends; 0 if it has begun none.
local function refuse(number, state, plan)
  -- Parts of another form are not stored.
  if not state.same then
    finish(state)
    state = begin(number, state.key, plan, nil, true)
  end
  state.ban, state.dirty = state.ban or new_ban(), true
  count_refusal(state.ban, plan.rule)
  return ban_left(state.ban)
end

-- Carries out what finds the state in its own form. Returns the status.
local function settle(state, plan)
  local action, ban, any = plan.action, state.ban, false
  if action == BAN then
    state.ban, state.dirty = ban or new_ban(), true
    ban_for(state.ban, plan.stamp)
    return 1
  elseif action == UNBAN then
    any = ban_left(ban) > 0
    if ban then ban.ends, state.dirty = 0, true end
    return any and 1 or 0
  end
  if plan.forgives and ban then state.ban, state.dirty = forgiven(ban), true end
  if plan.back < 0 then
    -- Without units in use, the form is of no account.
    if not state.native and end_of(state) <= now then renew(state, plan) end
    charge_debts(state, plan)
    return 2
  elseif plan.back == 0 then
    return action == SETTLE and 3 or 0
  end
  for i = 1, state.count do
    local part = state[i]
    local quota = state.native and plan[i] or part.quota
    any = refund(state.family, part, quota, plan, state.changed_at) or any
  end
  for _, part in ipairs(state.aside) do
    local quota = quota_of(part.family, part)
    advance(part.family, part, quota)
    state.advanced = state.advanced or part.dirty
    any = refund(part.family, part, quota, plan, state.changed_at) or any
  end
  if any then state.dirty = true end
  return any and 1 or 0
end

-- Carries out a check. `value` is the beginning of the key's value, if that is known.
function check(number, key, plan, value)
  if plan.permit then return check_permit(number, key, plan) end
  local action, family, cost = plan.action, plan.family, plan.cost
  local state = states[key]
  if state and not serves(state, plan) then
    finish(state)
    state, states[key] = nil, nil
  end
  if action == RESET then
    call('DEL', key)
    return encode_reply({ 1 })
  end
  if plan.calendars then
    build_calendars()
    require_windows(plan)
  end
  if state then
    state.checks[#state.checks + 1] = number
  else
    state = begin(number, key, plan, value)
  end
  if plan.own then return encode_reply({ settle(state, plan) }) end

  if state.ban and set_back_by(state.ban) > 0 then
    -- The record is stored as it has moved with the clock, also if nothing else changes.
    if not state.same then
      finish(state)
      local raw = begin(number, key, plan, nil, true)
      follow_clock(raw.ban)
      raw.dirty = true
      finish(raw)
      state = begin(number, key, plan)
    end
    if state.ban then follow_clock(state.ban) end
    state.dirty = state.dirty or state.same
  end
  local admitted, left = true, ban_left(state.ban)
  if cost > 0 then
    for i = 1, plan.count do
      if not admits(family, state[i], plan[i], cost) then admitted = false end
    end
    if action ~= CHARGE or left > 0 then
      -- Nothing is charged, as by a peek.
    elseif admitted then
      state.charged_at = now
      for i = 1, plan.count do
        local part, quota = state[i], plan[i]
        charge(family, part, quota, cost)
        take_form(part, family, quota)
        if family == BUCKET then state.charged_at = max(state.charged_at, part.floor) end
      end
      charge_along(state, plan)
      state.dirty, state.native, state.same, state.ends = true, true, true, nil
    elseif plan.rule then
      left = refuse(number, state, plan)
    end
  end
  -- The status has the time by which the clock is behind a bucket's last charge.
  local behind = 0
  for i = 1, family == BUCKET and plan.count or 0 do behind = max(behind, state[i].floor - now) end
  local reply = { (admitted and 1 or 0) + 2 * behind }
  if left > 0 then reply = { reply[1] + BANNED, left } end
  if state.ends and state.ends > now then
    reply[1], reply[#reply + 1] = reply[1] + FORGETS, state.ends - now
  end
  for i = 1, plan.count do report(family, state[i], plan[i], cost, not admitted, reply) end
  return encode_reply(reply)
end
