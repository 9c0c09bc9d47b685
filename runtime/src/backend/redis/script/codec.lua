-- The stored state: its version, the algorithm, the number of quotas and the time of the last
-- charge. Then, for each quota: its limit, capacity and period, and the state of its algorithm. If
-- the policy has had another form not long ago, there follow the time of the first change that is
-- remembered, the times since when the parts are complete, and the parts that are set aside, each
-- after its algorithm and its times. Their number and one more is in the fourth byte, which is
-- otherwise 0. The rings of logs are at the end.
--
-- A small log of one quota whose last entry is the last charge is stored in a short form, which keys
-- with few admissions consist of: version, algorithm (SHORT_STEPS or SHORT_WIDE), 1 and 0; limit,
-- period, time of the last entry and number of entries; if the entries have units, the units in use
-- and those of the last entry; and the entries before the last, the oldest first. Entries without
-- units have room for three: a value that a key begins with then stays in its place in the server's
-- memory, and leaves no hole there which only the names of keys could fill.

-- Returns the state of a quota without any units in use.
local function new_part(family, quota)
  local part = {}
  if family == LOG then
    part.slots, part.width = 0, quota.width
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
    require_that((count == 0 or part.first_time <= part.last_time and part.last_time <= charged_at
        and part.last_time - part.first_time < period)
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
  if #text < at + (family == LOG and 29 or 31) then unreadable('TOLLGATE the value is cut') end
  local part = { family = family, since = 0 }
  if family == LOG then
    local first, count
    part.limit, first, part.period, part.head, count, part.slots, at =
      unpack('<I4I4dI2I2I2', text, at)
    part.capacity, part.added, part.width = part.limit, '', count < WIDE and 4 or 12
    if part.width == 4 then
      part.last_time, at = unpack('<d', text, at)
      part.first_time, part.used = full_time(part.last_time, first), count
      part.first_units, part.last_units = min(count, 1), min(count, 1)
    else
      count = count - WIDE
      part.used, part.first_time, part.first_units, part.last_time, part.last_units, at =
        unpack('<I4dI4dI4', text, at)
    end
    part.count = count
  else
    local a, b, c
    part.limit, part.capacity, part.period, a, b, c, at = unpack('<I4I4ddI4I4', text, at)
    set_numbers(family, part, a, b, c)
  end
  require_sense(family, part, charged_at, is_aside)
  return part, at
end

-- Returns the long form of a short one, and the bytes by which it is longer.
local function expanded(text)
  local _, _, count, changed = unpack('<BBBB', text)
  require_that(count == 1 and changed % 128 == 0)
  local limit, period, entries, used, first, first_units, last, last_units
  if byte(text, 2) == SHORT_STEPS then
    limit, period, last, entries = unpack('<I4I4dI2', text, 5)
    require_that(entries > 0 and #text >= max(18 + entries * 4, 30))
    first = entries > 1 and unpack('<I4', text, 23) or last % STEPS
    return pack('<BBBBdI4I4dI2I2I2d', VERSION, LOG, 1, changed, last, limit, first, period, 0,
      entries, entries - 1, last) .. sub(text, 23), min(8 + entries * 4, 20)
  end
  limit, period, last, entries, used, last_units = unpack('<I4ddI2I4I4', text, 5)
  require_that(entries > 0 and #text >= 22 + entries * 12)
  first, first_units = last, last_units
  if entries > 1 then first, first_units = unpack('<dI4', text, 35) end
  return pack('<BBBBdI4I4dI2I2I2I4dI4dI4', VERSION, LOG, 1, changed, last, limit, 0, period, 0,
    entries + WIDE, entries - 1, used, first, first_units, last, last_units) .. sub(text, 35), 28
end

-- Returns the short form of a state that has one, and otherwise nil.
local function encode_short(state, rings)
  local part = state[1]
  if state.family ~= LOG or state.count > 1 or #state.aside > 0 or state.tail or part.since > 0
    or #rings > SMALL or part.last_time ~= state.charged_at then return end
  if part.width == 4 then
    local text = pack('<I4I4I4dI2', STEPS_HEADER, part.limit, part.period, part.last_time,
      part.count) .. rings
    return text .. string.rep('\0', 30 - #text)
  end
  return pack('<I4I4ddI2I4I4', WIDE_HEADER, part.limit, part.period, part.last_time, part.count,
    part.used, part.last_units) .. rings
end

local function decode(key, text)
  if #text < HEADER then unreadable('TOLLGATE the value is cut') end
  local longer = 0
  if byte(text) == VERSION and (byte(text, 2) == SHORT_STEPS or byte(text, 2) == SHORT_WIDE) then
    text, longer = expanded(text)
  end
  local version, family, count, changed, charged_at, at = unpack('<BBBBd', text)
  if version ~= VERSION or family < LOG or family > BUCKET then
    unreadable('TOLLGATE the value has a format that this release does not know')
  end
  local has_tail = changed >= 128
  changed = changed % 128
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
      offset = offset + part.slots * part.width
      if offset <= #text then
        part.chunk, part.chunk_at = text, part.offset
        part.chunk_start, part.chunk_end = 0, part.slots
      end
    end
  end
  if has_tail then
    stored.tail = call('GETRANGE', key, offset - longer, -1)
    if unpack('<d', stored.tail) <= now then stored.tail = nil end
  end
  return stored
end

local function encode_part(family, part)
  if family ~= LOG then
    local a, b, c = stored_numbers(family, part)
    return pack('<I4I4ddI4I4', part.limit, part.capacity, part.period, a, b, c)
  elseif part.width == 4 then
    return pack('<I4I4dI2I2I2d', part.limit, part.first_time % STEPS, part.period,
      part.head, part.count, part.slots, part.last_time)
  end
  return pack('<I4I4dI2I2I2I4dI4dI4', part.limit, 0, part.period, part.head, part.count + WIDE,
    part.slots, part.used, part.first_time, part.first_units, part.last_time, part.last_units)
end

-- Returns the text of a state with these parts; without the rings, if it is not rewritten.
local function encode(state, rings)
  local changed = #state.aside > 0
  for i = 1, state.count do changed = changed or state[i].since > 0 end
  local texts = {
    pack('<BBBBd', VERSION, state.family, state.count,
      (changed and #state.aside + 1 or 0) + (state.tail and 128 or 0), state.charged_at),
  }
  for i = 1, state.count do texts[i + 1] = encode_part(state.family, state[i]) end
  if changed then
    texts[#texts + 1] = pack('<d', state.changed_at)
    for i = 1, state.count do texts[#texts + 1] = pack('<d', state[i].since) end
    for _, part in ipairs(state.aside) do
      texts[#texts + 1] = pack('<Bdd', part.family, part.ends, part.since)
      texts[#texts + 1] = encode_part(part.family, part)
    end
  end
  return table.concat(texts) .. rings
end

-- Returns the rings of these logs as text, for a value that is written as a whole. Small rings have
-- no room, because they are written with each charge.
local function laid_out(logs)
  local texts, bytes = {}, 0
  for i, part in ipairs(logs) do
    if part.list then
      part.width = part.used <= RESOLUTION and width_of(part.limit, part.period) or 12
      if part.width == 4 then part.count, part.first_units, part.last_units = part.used, 1, 1 end
    end
    texts[i] = ring_of(part)
    bytes = bytes + #texts[i]
  end
  for i, part in ipairs(logs) do
    local used = #texts[i] / part.width
    local slots = used
    if bytes > SMALL then
      slots = 4
      while slots <= used do slots = slots * 2 end
      texts[i] = texts[i] .. string.rep('\0', (slots - used) * part.width)
    end
    part.head, part.slots = 0, slots
  end
  work = work + bytes / 256
  return table.concat(texts), bytes
end

local function write(state)
  local ends, logs, stored, wanted, slice = 0, {}, 0, 0, 0
  local rewrite = state.rewrite or state.family ~= LOG
  for i = 1, state.count do
    ends = max(ends, empty_at(state.family, state[i], state[i].quota))
    if state.family == LOG then logs[i] = state[i] end
  end
  for _, part in ipairs(state.aside) do
    ends = max(ends, empty_at(part.family, part, part))
    if part.family == LOG then logs[#logs + 1] = part end
  end
  if state.tail then ends = max(ends, (unpack('<d', state.tail))) end
  if ends <= now then
    if state.exists then call('DEL', state.key) end
    return
  end
  for _, part in ipairs(logs) do
    local count = max(part.count - 1, 0)
    stored, wanted = stored + part.slots * part.width, wanted + count * part.width
    slice = max(slice, part.period / 16)
    rewrite = rewrite or part.list or count > part.slots
  end
  if rewrite or stored <= SMALL or wanted <= SMALL / 2 then
    local rings, bytes = laid_out(logs)
    if bytes > SMALL then ends = ends + slice end
    local text = encode_short(state, rings) or encode(state, rings) .. (state.tail or '')
    return call('SET', state.key, text, 'PX', millis_until(ends))
  end
  -- The header and the new entries are written in place.
  for _, part in ipairs(logs) do
    local width, added = part.width, part.added
    local at = (part.head + part.count - 1 - added_count(part)) % part.slots
    local before_end = (part.slots - at) * width
    if added ~= '' then
      call('SETRANGE', state.key, part.offset + at * width, sub(added, 1, before_end))
    end
    if #added > before_end then
      call('SETRANGE', state.key, part.offset, sub(added, before_end + 1))
    end
  end
  call('SETRANGE', state.key, 0, encode(state, ''))
  -- A key with large rings is kept for longer than it is needed, by a 16th of its longest period, so
  -- that only the first charge in each of these spans has to prolong that.
  if floor(state.stored_at / slice) ~= floor(now / slice) or state.stored_at > now then
    call('PEXPIRE', state.key, millis_until(ends + slice))
  end
end
