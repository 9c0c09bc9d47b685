-- The stored state: its version, the algorithm, the number of quotas and the time of the last
-- charge. Then, for each quota: its limit, capacity and period, and the state of its algorithm. The
-- rings of logs are at the end.

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

local function decode(key, text)
  local version, family, count, _, charged_at, at = unpack('<BBBBd', text)
  if version ~= VERSION or family < LOG or family > BUCKET then
    error({ err = 'TOLLGATE the key holds state of a format that this release does not know' })
  end
  local stored = { family = family, count = count, charged_at = charged_at }
  local offset = HEADER + count * 50
  for i = 1, count do
    local part
    if family == LOG then
      local limit, capacity, period, head, length, slots, used
      local first_time, first_units, last_time, last_units
      limit, capacity, period, head, length, slots, used,
        first_time, first_units, last_time, last_units, at =
        unpack('<I4I4dI2I2I2I4dI4dI4', text, at)
      part = {
        limit = limit, capacity = capacity, period = period,
        head = head, count = length, slots = slots, used = used,
        first_time = first_time, first_units = first_units,
        last_time = last_time, last_units = last_units,
        key = key, offset = offset,
      }
      offset = offset + slots * 12
    else
      local a, b, c
      part = { limit = 0, capacity = 0, period = 0 }
      part.limit, part.capacity, part.period, a, b, c, at = unpack('<I4I4ddI4I4', text, at)
      set_numbers(family, part, a, b, c)
    end
    stored[i] = part
  end
  return stored
end

-- Writes the headers and single slots in place, and returns false. If a ring has to be written
-- anew, returns the text to store instead.
local function write_log(state)
  local plan, rewrite = state.plan, state.rewrite
  local texts = { pack('<BBBBd', VERSION, LOG, plan.count, 0, state.charged_at) }
  for i = 1, plan.count do rewrite = rewrite or state[i].list ~= nil end
  for i = 1, plan.count do
    local part, quota = state[i], plan[i]
    if rewrite then
      to_list(part)
      local slots = 4
      while slots < part.count do slots = slots * 2 end
      part.head, part.slots = 0, slots
    end
    texts[i + 1] = pack('<I4I4dI2I2I2I4dI4dI4', quota.limit, quota.capacity, quota.period,
      part.head, part.count, part.slots, part.used,
      part.first_time, part.first_units, part.last_time, part.last_units)
  end
  if not rewrite then
    for i = 1, plan.count do
      local part = state[i]
      if part.slot then
        call('SETRANGE', state.key, part.offset + part.slot * 12,
          pack('<dI4', part.slot_time, part.slot_units))
      end
    end
    call('SETRANGE', state.key, 0, table.concat(texts))
    return false
  end
  for i = 1, plan.count do
    local part = state[i]
    for k = 1, part.slots do
      local each = part.list[k]
      texts[#texts + 1] = each and pack('<dI4', each[1], each[2]) or string.rep('\0', 12)
    end
  end
  return table.concat(texts)
end

local function encode_compact(state)
  local plan, family = state.plan, state.family
  local text = pack('<BBBBd', VERSION, family, plan.count, 0, state.charged_at)
  for i = 1, plan.count do
    local quota = plan[i]
    local a, b, c = stored_numbers(family, state[i])
    text = text .. pack('<I4I4ddI4I4', quota.limit, quota.capacity, quota.period, a, b, c)
  end
  return text
end

local function write(state)
  local ends = 0
  for i = 1, state.plan.count do
    ends = max(ends, empty_at(state.family, state[i], state.plan[i]))
  end
  if ends <= now then
    if state.exists then call('DEL', state.key) end
    return
  end
  local millis = millis_until(ends)
  local text
  if state.family == LOG then text = write_log(state) else text = encode_compact(state) end
  if text then
    call('SET', state.key, text, 'PX', millis)
  else
    call('PEXPIRE', state.key, millis)
  end
end
