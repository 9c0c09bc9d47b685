-- The stored state: its version, the algorithm, the number of quotas and the time of the last
-- charge. Then, for each quota: its limit, capacity and period, and the state of its algorithm. If
-- the policy has had another form not long ago, there follow the time of the first change that is
-- remembered, the times since when the parts are complete, and the parts that are set aside, each
-- after its algorithm and its times. Their number and one more is in the fourth byte, which is
-- otherwise 0. The rings of logs follow. A window of a calendar has the capacity 0, and after its
-- state its ends, its number, and the calendar after its length.
--
-- If the fourth byte is 128 more, there is a tail at the end: a time, and bytes to be kept until
-- then. If the first of these bytes is below 8, it says what there is: a sum of 1 for the record of
-- refusals and bans, 2 for the units that each part owes, as a fixed window does, and 4 for parts that
-- only a debt can bring about; these have no bytes of their own. After them there can be one more
-- tail. Any other tail is one of a later release, and kept as it is.
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
    part.calendar, part.today = quota.calendar, quota.today
    if part.calendar then part.from, part.till, part.number = 0, 0, 0 end
  else
    part.tat, part.fraction = 0, 0
  end
  return part
end

-- Requires that a stored number can be a time. The comparison is false for NaN.
local function require_number(number)
  require_that(number >= 0 and number <= MAX_TIME and number % 1 == 0)
end

-- Returns true if the state of a quota is one that only a debt can bring about. Of the others, only a
-- part that is set aside has more units than its limit, because a part in force is stored by an
-- admission.
local function is_in_debt(family, part, charged_at, is_aside)
  local limit, period, units = part.limit, part.period, part.current or part.used
  if family == BUCKET then
    -- Rounding stays below the added part.
    return part.tat > charged_at + part.capacity * period / limit * (1 + 1e-12) + 2
  end
  -- A counter is also stored when a refusal finds the next window, and a fixed window when it finds
  -- one that a debt has opened.
  local latest = charged_at + (family == COUNTER and period or 0)
  return not is_aside and units > limit
    or family ~= LOG and part.start > latest and (units > 0 or (part.previous or 0) > 0)
end

-- Requires that the state of a quota is one that some policy could have.
local function require_sense(family, part, charged_at)
  local limit, capacity, period = part.limit, part.capacity, part.period
  require_that(limit > 0 and (capacity > 0 or part.calendar) and period >= 1000
    and period <= MAX_PERIOD and period % 1 == 0)
  if family == LOG then
    require_number(part.first_time)
    require_number(part.last_time)
    local count, slots, used = part.count, part.slots, part.used
    local first, last = part.first_units, part.last_units
    require_that((count == 0 or part.first_time <= part.last_time and part.last_time <= charged_at
        and part.last_time - part.first_time < period)
      and part.head < max(slots, 1) and count <= slots + 1
      and (count > 0 or used == 0)
      and (count ~= 1 or (used == first and first == last and part.first_time == part.last_time))
      and (count < 2 or used >= first + last + count - 2))
  elseif family == BUCKET then
    require_number(part.tat)
    require_that(part.fraction < limit and capacity * period / limit <= MAX_TIME
      and part.tat <= charged_at + MAX_FILL)
  else
    require_number(part.start)
    require_that(family == COUNTER or part.opening <= part.used)
    if part.calendar then
      require_number(part.from)
      require_number(part.till)
      require_number(part.number)
      require_that(part.used == 0 or part.from <= part.start and part.start < part.till)
    end
  end
end

-- Reads the part of one quota at `at`. Returns it, and the place after it.
local function decode_part(family, text, at, charged_at)
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
    part.count, part.stored_width = count, part.width
  else
    local a, b, c
    part.limit, part.capacity, part.period, a, b, c, at = unpack('<I4I4ddI4I4', text, at)
    set_numbers(family, part, a, b, c)
    if family == FIXED and part.capacity == 0 then
      build_calendars()
      part.from, part.till, part.number, part.calendar, at = unpack('<dddBc0', text, at)
    end
  end
  require_sense(family, part, charged_at)
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
local function encode_short(state, rings, tail)
  local part = state[1]
  if state.family ~= LOG or state.count > 1 or state.changed_at or tail ~= ''
    or #rings > SMALL or part.last_time ~= state.charged_at then return end
  if part.width == 4 then
    local text = pack('<I4I4I4dI2', STEPS_HEADER, part.limit, part.period, part.last_time,
      part.count) .. rings
    return text .. string.rep('\0', 30 - #text)
  end
  return pack('<I4I4ddI2I4I4', WIDE_HEADER, part.limit, part.period, part.last_time, part.count,
    part.used, part.last_units) .. rings
end

-- Reads the tail of a stored value.
local function decode_tail(stored, text)
  local rest, what = text, byte(text, 9) or 0
  if what > 0 and what < 8 then
    local at = 10
    if what % 2 > 0 then
      local ban = {}
      ban.ends, ban.forgotten_at, ban.counted_until, ban.changed_at, ban.bans, ban.refusals, at =
        unpack('<ddddI4I4', text, at)
      require_number(ban.ends)
      require_number(ban.forgotten_at)
      require_number(ban.counted_until)
      require_number(ban.changed_at)
      stored.ban = ban
    end
    stored.in_debt = what >= 4
    for i = 1, what % 4 > 1 and #stored or 0 do
      local owed, part = 0, stored[i]
      owed, at = unpack('<I4', text, at)
      if owed > 0 then
        require_that(part.family == FIXED and part.used > 0)
        part.owed = owed
        if part.calendar then find_today(part) end
      end
    end
    if wanted then ask() end
    -- Under a lower limit, debts that are worked off would not be.
    local ends = 0
    for _, part in ipairs(stored) do ends = max(ends, empty_at(part.family, part, part)) end
    if ends <= now then
      for _, part in ipairs(stored) do part.owed = nil end
    end
    rest = sub(text, at)
  end
  if rest ~= '' and unpack('<d', rest) > now then stored.rest = rest end
end

-- Returns the tail of a state; an empty text if it has none.
local function encode_tail(state)
  local ban, rest, what, ends, text, owed = state.ban, state.rest or '', 0, 0, '', {}
  if ban and ban_empty_at(ban) > now then
    what, ends = 1, ban_empty_at(ban)
    text = pack('<ddddI4I4', ban.ends, ban.forgotten_at, ban.counted_until, ban.changed_at,
      ban.bans, ban.refusals)
  end
  local owes, in_debt = false, false
  local function add(family, part, is_aside)
    owed[#owed + 1] = pack('<I4', part.owed or 0)
    local is_more = is_in_debt(family, part, state.charged_at, is_aside)
    owes, in_debt = owes or part.owed, in_debt or is_more
    if part.owed or is_more then ends = max(ends, empty_at(family, part, part)) end
  end
  for i = 1, state.count do add(state.family, state[i]) end
  for _, part in ipairs(state.aside) do add(part.family, part, true) end
  if owes then what, text = what + 2, text .. table.concat(owed) end
  if in_debt then what = what + 4 end
  if what == 0 then return rest end
  if rest ~= '' then ends = max(ends, (unpack('<d', rest))) end
  return pack('<dB', ends, what) .. text .. rest
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
      stored[i], at = decode_part(family, text, at, charged_at)
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
    work = work + 2
    stored.tail = call('GETRANGE', key, offset - longer, -1)
    decode_tail(stored, stored.tail)
  end
  stored.tail_at = offset
  for i, part in ipairs(stored) do
    require_that(stored.in_debt
      or not is_in_debt(part.family, part, charged_at, i > stored.count))
  end
  return stored
end

local function encode_part(family, part)
  if family ~= LOG then
    local a, b, c = stored_numbers(family, part)
    local text = pack('<I4I4ddI4I4', part.limit, part.capacity, part.period, a, b, c)
    if not part.calendar then return text end
    return text
      .. pack('<dddBc0', part.from, part.till, part.number, #part.calendar, part.calendar)
  elseif part.width == 4 then
    return pack('<I4I4dI2I2I2d', part.limit, part.first_time % STEPS, part.period,
      part.head, part.count, part.slots, part.last_time)
  end
  return pack('<I4I4dI2I2I2I4dI4dI4', part.limit, 0, part.period, part.head, part.count + WIDE,
    part.slots, part.used, part.first_time, part.first_units, part.last_time, part.last_units)
end

-- Returns the text of a state with these parts; without the rings, if it is not rewritten.
local function encode(state, rings, tail)
  local changed = state.changed_at
  local texts = {
    pack('<BBBBd', VERSION, state.family, state.count,
      (changed and #state.aside + 1 or 0) + (tail ~= '' and 128 or 0), state.charged_at),
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

-- Returns the time from which on no units are in use.
local function end_of(state)
  local ends = 0
  for i = 1, state.count do
    ends = max(ends, empty_at(state.family, state[i], state[i].quota))
  end
  for _, part in ipairs(state.aside) do ends = max(ends, empty_at(part.family, part, part)) end
  return ends
end

local function write(state)
  local tail, stored_tail = encode_tail(state), state.tail or ''
  local ends, logs, stored, wanted, slice = end_of(state), {}, 0, 0, 0
  if tail ~= '' then ends = max(ends, (unpack('<d', tail))) end
  local rewrite = state.rewrite or state.family ~= LOG
  if state.family == LOG then
    for i = 1, state.count do logs[i] = state[i] end
  end
  for _, part in ipairs(state.aside) do
    if part.family == LOG then logs[#logs + 1] = part end
  end
  if ends <= now then
    if state.exists then call('DEL', state.key) end
    return
  end
  for _, part in ipairs(logs) do
    local count = max(part.count - 1, 0)
    stored, wanted = stored + part.slots * part.width, wanted + count * part.width
    slice = max(slice, part.period / 16)
    -- A log that time has emptied may have steps again, and then a shorter header.
    rewrite = rewrite or part.list or count > part.slots or part.width ~= part.stored_width
  end
  -- A tail is written in place if it is as long as before, or the first one at the end of the value.
  if not rewrite and #tail ~= #stored_tail then
    rewrite = stored_tail ~= '' or call('GETRANGE', state.key, state.tail_at, state.tail_at) ~= ''
  end
  if rewrite or stored <= SMALL or wanted <= SMALL / 2 then
    local rings, bytes = laid_out(logs)
    if bytes > SMALL then ends = ends + slice end
    local text = encode_short(state, rings, tail) or encode(state, rings, tail) .. tail
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
  call('SETRANGE', state.key, 0, encode(state, '', tail))
  if tail ~= stored_tail then call('SETRANGE', state.key, state.tail_at, tail) end
  -- A key with large rings is kept for longer than it is needed, by a 16th of its longest period, so
  -- that only the first charge in each of these spans has to prolong that.
  if floor(state.stored_at / slice) ~= floor(now / slice) or state.stored_at > now
    or tail ~= stored_tail then
    call('PEXPIRE', state.key, millis_until(ends + slice))
  end
end
