-- The stored state: its version, the algorithm, the number of quotas and the time of the last
-- charge. Then, for each quota: its limit, capacity and period, and the state of its algorithm. If
-- the policy has had another form not long ago, there follow the time of the first change that is
-- remembered, the times since when the parts are complete, and the parts that are set aside, each after its algorithm and its times. Their number
-- and one more is in the fourth byte, which is otherwise 0. The rings of logs are at the end.

-- Returns the state of a quota without any units in use.
local function new_part(family, quota)
  local part = {}
  if family == LOG then
    part.slots = 0
    clear_log(part)
  elseif family == COUNTER then
    part.start, part.current, part.previous = now - now % quota.period, 0, 0
  elseif family == FIXED then
    part.start, part.used, part.opening = 0, 0, 0
  else
    part.tat, part.fraction = 0, 0
  end
  return part
end

-- Requires that a stored number can be a time. The comparison is false for NaN.
local function require_number(number)
  require_that(number >= 0 and number <= MAX_TIME and number % 1 == 0)
end

-- Requires that the state of a quota is one that some policy could have. Only a part that is set
-- aside has more units than its limit, because a part in force is stored by an admission.
local function require_sense(family, part, charged_at, is_aside)
  local limit, capacity, period = part.limit, part.capacity, part.period
  local most = is_aside and MAX_UNITS or limit
  require_that(limit > 0 and capacity > 0 and period >= 1000 and period <= MAX_PERIOD
    and period % 1 == 0)
  if family == LOG then
    require_number(part.first_time)
    require_number(part.last_time)
    local count, slots, used = part.count, part.slots, part.used
    local first, last = part.first_units, part.last_units
    require_that((count == 0 or part.first_time <= part.last_time and part.last_time <= charged_at)
      and used <= most and part.head < max(slots, 1) and count <= slots + 1
      and (count > 0 or used == 0)
      and (count ~= 1 or (used == first and first == last and part.first_time == part.last_time))
      and (count < 2 or used >= first + last + count - 2))
  elseif family == BUCKET then
    require_number(part.tat)
    -- Rounding stays below the added part.
    local full = capacity * period / limit
    require_that(part.fraction < limit and full <= MAX_TIME
      and part.tat <= charged_at + full * (1 + 1e-12) + 2)
  else
    require_number(part.start)
    require_that((family == COUNTER and part.current or part.used) <= most)
    -- A counter is also stored when a refusal finds the next window.
    local latest = charged_at + (family == COUNTER and period or 0)
    require_that(part.start <= latest
      or (part.current or part.used) == 0 and (part.previous or 0) == 0)
    require_that(family == COUNTER or part.opening <= part.used)
  end
end

-- Reads the part of one quota at `at`. Returns it, and the place after it.
local function decode_part(family, text, at, charged_at, is_aside)
  if #text < at + (family == LOG and 49 or 31) then unreadable('TOLLGATE the value is cut') end
  local part = { family = family, since = 0 }
  if family == LOG then
    part.limit, part.capacity, part.period, part.head, part.count, part.slots, part.used,
      part.first_time, part.first_units, part.last_time, part.last_units, at =
      unpack('<I4I4dI2I2I2I4dI4dI4', text, at)
  else
    local a, b, c
    part.limit, part.capacity, part.period, a, b, c, at = unpack('<I4I4ddI4I4', text, at)
    set_numbers(family, part, a, b, c)
  end
  require_sense(family, part, charged_at, is_aside)
  return part, at
end

local function decode(key, text)
  if #text < HEADER then unreadable('TOLLGATE the value is cut') end
  local version, family, count, changed, charged_at, at = unpack('<BBBBd', text)
  if version ~= VERSION or family < LOG or family > BUCKET then
    unreadable('TOLLGATE the value has a format that this release does not know')
  end
  require_that(count > 0 and count <= 4 and changed <= 5)
  require_number(charged_at)
  local stored = {
    family = family, count = count, charged_at = charged_at, changed = changed > 0,
  }
  if changed > 0 then text = call('GETRANGE', key, 0, 1023) end
  for i = 1, count do stored[i], at = decode_part(family, text, at, charged_at) end
  if changed > 0 then
    stored.changed_at, at = unpack('<d', text, at)
    require_number(stored.changed_at)
    for i = 1, count do
      stored[i].since, at = unpack('<d', text, at)
      require_number(stored[i].since)
    end
    for i = count + 1, count + changed - 1 do
      local ends, since
      family, ends, since, at = unpack('<Bdd', text, at)
      require_number(ends)
      require_number(since)
      require_that(family >= LOG and family <= BUCKET)
      stored[i], at = decode_part(family, text, at, charged_at, true)
      stored[i].ends, stored[i].since = ends, since
    end
  end
  local offset = at - 1
  for _, part in ipairs(stored) do
    part.last = charged_at
    -- An empty bucket has nothing to drain.
    part.floor = (part.tat ~= 0 or part.fraction ~= 0) and max(now, charged_at) or now
    if part.family == LOG then
      part.key, part.offset = key, offset
      offset = offset + part.slots * 12
    end
  end
  return stored
end

local function encode_part(family, part)
  if family == LOG then
    return pack('<I4I4dI2I2I2I4dI4dI4', part.limit, part.capacity, part.period,
      part.head, part.count, part.slots, part.used,
      part.first_time, part.first_units, part.last_time, part.last_units)
  end
  local a, b, c = stored_numbers(family, part)
  return pack('<I4I4ddI4I4', part.limit, part.capacity, part.period, a, b, c)
end

-- Returns the text of a state; without the rings, if the state is not rewritten.
local function encode(state, rewrite)
  local changed = #state.aside > 0
  for i = 1, state.count do changed = changed or state[i].since > 0 end
  local texts = {
    pack('<BBBBd', VERSION, state.family, state.count, changed and #state.aside + 1 or 0,
      state.charged_at),
  }
  local rings = {}
  local function append(family, part)
    if family == LOG and rewrite then
      to_list(part)
      local slots = 4
      while slots < part.count do slots = slots * 2 end
      part.head, part.slots = 0, slots
      for k = 1, slots do
        local each = part.list[k]
        rings[#rings + 1] = each and pack('<dI4', each[1], each[2]) or string.rep('\0', 12)
      end
    end
    texts[#texts + 1] = encode_part(family, part)
  end
  for i = 1, state.count do append(state.family, state[i]) end
  if changed then
    texts[#texts + 1] = pack('<d', state.changed_at)
    for i = 1, state.count do texts[#texts + 1] = pack('<d', state[i].since) end
    for _, part in ipairs(state.aside) do
      texts[#texts + 1] = pack('<Bdd', part.family, part.ends, part.since)
      append(part.family, part)
    end
  end
  return table.concat(texts) .. table.concat(rings)
end

local function write(state)
  local ends, rewrite = 0, state.rewrite or state.family ~= LOG
  for i = 1, state.count do
    ends = max(ends, empty_at(state.family, state[i], state[i].quota))
    rewrite = rewrite or state[i].list ~= nil
  end
  for _, part in ipairs(state.aside) do ends = max(ends, empty_at(part.family, part, part)) end
  if ends <= now then
    if state.exists then call('DEL', state.key) end
    return
  end
  local millis = millis_until(ends)
  local text = encode(state, rewrite)
  if rewrite then return call('SET', state.key, text, 'PX', millis) end
  -- The header and single slots of the rings are written in place.
  for i = 1, state.count do
    local part = state[i]
    if part.slot then
      call('SETRANGE', state.key, part.offset + part.slot * 12,
        pack('<dI4', part.slot_time, part.slot_units))
    end
  end
  call('SETRANGE', state.key, 0, text)
  call('PEXPIRE', state.key, millis)
end
