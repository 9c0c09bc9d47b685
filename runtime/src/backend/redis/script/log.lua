-- The sliding log: the admissions of each quota, the oldest first.
--
-- The last (newest) entry is only in the header of the stored state. The others are in a ring, which
-- begins at slot `head`. Entries have one of two widths, in bytes:
--
--   4   the low 32 bits of the time of one unit, for limits up to 1024 and periods below 2^32
--       microseconds (71 minutes). The others follow from the time of the last entry.
--   12  (time, units)
--
-- The header also contains the first entry. So a charge reads the header, and writes it and one
-- slot. In memory, `added` contains the entries that have to be written into the ring, and `list` all
-- entries, if the ring has to be written anew.

-- Raises the error of a value that is not one of ours, or not any longer.
local function unreadable(reason)
  error({ err = reason })
end

-- Requires what holds for every value that a release has stored.
local function require_that(makes_sense)
  if not makes_sense then unreadable('TOLLGATE the value makes no sense') end
end

-- Returns the number of entries that have to be written into the ring.
local function added_count(part)
  return #part.added / part.width
end

-- Returns true if each entry is one unit.
local function has_steps(part)
  return part.width == 4 and not part.list
end

-- Returns the time and the units of entry k, where the oldest entry is number 0. Slots are read in
-- chunks of 32, if the value does not lie there as a whole.
local function entry(part, k)
  if part.list then return part.list[k + 1][1], part.list[k + 1][2] end
  if k == part.count - 1 then return part.last_time, part.last_units end
  if k == 0 then return part.first_time, part.first_units end
  local width, text, at = part.width, part.added, k - part.count + 1 + added_count(part)
  local place = at * width + 1
  if at < 0 then
    at = (part.head + k) % part.slots
    if not part.chunk or at < part.chunk_start or at >= part.chunk_end then
      work = work + 2
      part.chunk_at, part.chunk_start, part.chunk_end = 0, at, min(part.slots, at + 32)
      part.chunk = call('GETRANGE', part.key, part.offset + at * width,
        part.offset + part.chunk_end * width - 1)
    end
    text, place = part.chunk, part.chunk_at + (at - part.chunk_start) * width + 1
  end
  local time, units = nil, 1
  if width == 4 then
    time = full_time(part.last_time, unpack('<I4', text, place))
  else
    time, units = unpack('<dI4', text, place)
  end
  require_that(time >= part.first_time and time <= part.last_time and time % 1 == 0 and units > 0)
  return time, units
end

-- Sets the fields of the header from the list.
local function update_header(part)
  local list = part.list
  part.count, part.head, part.added = #list, 0, ''
  if part.count > 0 then
    part.first_time, part.first_units = list[1][1], list[1][2]
    part.last_time, part.last_units = list[part.count][1], list[part.count][2]
  end
end

-- Returns all entries as a list, which the caller may change. Units of one time share an entry.
local function to_list(part)
  if not part.list then
    local list = {}
    work = work + part.count
    for k = 0, part.count - 1 do
      local time, units = entry(part, k)
      local newest = list[#list]
      if newest and newest[1] == time then
        newest[2] = newest[2] + units
      else
        list[#list + 1] = { time, units }
      end
    end
    part.list = list
    update_header(part)
  end
  return part.list
end

local function clear_log(part)
  part.head, part.count, part.used, part.added = 0, 0, 0, ''
  part.first_time, part.first_units, part.last_time, part.last_units = 0, 0, 0, 0
  part.list, part.chunk = nil, nil
end

-- Returns the number of entries that have expired, and their units. The first entry has expired, and
-- the last one has not.
local function expired(part, period)
  local low, high, step, units = 0, part.count - 1, 1, part.first_units
  if has_steps(part) then
    -- Only a few entries are read, however many have expired.
    while high - low > 1 do
      local middle = min(low + step, floor((low + high) / 2))
      if entry(part, middle) + period <= now then low, step = middle, step * 2 else high = middle end
    end
    return high, high
  end
  while true do
    low = low + 1
    local time, more = entry(part, low)
    if time + period > now then return low, units end
    units = units + more
  end
end

local function advance_log(part, quota)
  if part.count == 0 then return end
  if part.last_time > now then
    local list, units, granule = to_list(part), 0, floor(now / quota.granule)
    while #list > 0 and floor(list[#list][1] / quota.granule) >= granule do
      units = units + list[#list][2]
      list[#list] = nil
    end
    list[#list + 1] = { now, units }
    update_header(part)
    part.dirty = true
  end
  if part.first_time + quota.period > now then return end
  part.dirty = true
  if part.last_time + quota.period <= now then
    part.width = quota.width
    return clear_log(part)
  end
  if part.added ~= '' then to_list(part) end
  local k, units = expired(part, quota.period)
  if not has_steps(part) then work = work + k / 2 end
  local time, first_units = entry(part, k)
  require_that(part.used >= units + first_units)
  part.used = part.used - units
  if part.list then
    local kept = {}
    for at = k + 1, part.count do kept[#kept + 1] = part.list[at] end
    part.list = kept
    return update_header(part)
  end
  part.head, part.count = (part.head + k) % max(part.slots, 1), part.count - k
  part.first_time, part.first_units = time, first_units
end

-- Appends to the reply the entries of the log that the library needs: the first entry, the entries
-- at which a wait ends, and all others as if they were one with the last.
local function report_log(part, quota, cost, refused, reply)
  local at = #reply + 2
  reply[at - 1] = part.used
  reply[at] = 0
  if part.count == 0 then return end
  local k, left, reported = 0, part.used - part.first_units, 1
  reply[at + 1], reply[at + 2] = part.first_time, part.first_units
  local function report(time, units)
    reported = reported + 1
    reply[at + reported * 2 - 1], reply[at + reported * 2] = time, units
  end
  -- Adds to the reply one entry for all following entries that have to expire until no more than
  -- `room` units are left.
  local function report_until(room)
    local time, units, sum = 0, 0, 0
    if has_steps(part) and left > room then
      k, sum, left = k + left - room, left - room, room
      require_that(k < part.count)
      time = entry(part, k)
    end
    while left > room and k < part.count - 1 do
      k = k + 1
      time, units = entry(part, k)
      sum, left = sum + units, left - units
    end
    if not has_steps(part) then work = work + k / 2 end
    if sum > 0 then report(time, sum) end
  end
  if part.used > quota.limit then report_until(quota.limit - 1) end
  -- After an admission, the library computes when the same request would be admitted once more.
  if refused or cost > 1 then report_until(quota.limit - cost) end
  local rest = k < part.count - 1
  require_that(rest and left > 0 or left == 0 and not rest)
  if rest then report(part.last_time, left) end
  reply[at] = reported
end

local function charge_log(part, quota, cost)
  part.used = part.used + cost
  local count, width = part.count, part.width
  if not has_steps(part) then
    if count > 0 and floor(part.last_time / quota.granule) == floor(now / quota.granule) then
      part.last_time, part.last_units = now, part.last_units + cost
      if count == 1 then part.first_time, part.first_units = part.last_time, part.last_units end
      if part.list then part.list[count] = { part.last_time, part.last_units } end
      return
    end
    if part.list then
      part.list[count + 1] = { now, cost }
      return update_header(part)
    end
  end
  if count > 0 then
    part.added = part.added .. encode_entry(width, part.last_time, part.last_units)
  else
    part.first_time, part.first_units = now, width == 4 and 1 or cost
  end
  part.count, part.last_time, part.last_units = count + 1, now, cost
  if width == 4 then
    part.added = part.added .. string.rep(encode_entry(4, now), cost - 1)
    part.count, part.last_units = count + cost, 1
  end
end

-- Takes the cost from the entries in the granule of `stamp`, the newest first. Returns false, and
-- takes nothing, if they have fewer units.
local function refund_within(part, granule, stamp, cost)
  local list, wanted = to_list(part), floor(stamp / granule)
  local newest, sum = #list, 0
  while newest > 0 and floor(list[newest][1] / granule) > wanted do newest = newest - 1 end
  local k = newest
  while k > 0 and floor(list[k][1] / granule) == wanted do sum, k = sum + list[k][2], k - 1 end
  if sum < cost then return false end
  part.used = part.used - cost
  k = newest
  while cost > 0 do
    local units = min(list[k][2], cost)
    list[k][2], cost = list[k][2] - units, cost - units
    if list[k][2] == 0 then table.remove(list, k) end
    k = k - 1
  end
  update_header(part)
  return true
end

-- Refunds a charge; with `exact`, only from entries of exactly its time.
local function refund_log(part, quota, stamp, cost, exact)
  -- An entry of the same granule would be another charge's.
  if stamp + quota.period <= now then return false end
  -- A policy with a smaller limit may have given the charge an entry of its own.
  return refund_within(part, 1, stamp, cost)
    or (not exact and refund_within(part, quota.granule, stamp, cost))
end

-- Returns the entries that belong into the ring, the oldest first, as text.
local function ring_of(part)
  local width, texts = part.width, {}
  if part.list then
    for k, each in ipairs(part.list) do
      local times = width == 4 and each[2] or 1
      -- The last entry stands in the header.
      if k == #part.list then times = times - 1 end
      if times > 0 then
        texts[#texts + 1] = string.rep(encode_entry(width, each[1], each[2]), times)
      end
    end
    return table.concat(texts)
  end
  local count = part.count - 1 - added_count(part)
  if count <= 0 then return part.added end
  local function stored(from, to)
    if from >= to then return '' end
    if part.chunk and part.chunk_start <= from and to <= part.chunk_end then
      local at = part.chunk_at - part.chunk_start * width
      return sub(part.chunk, at + from * width + 1, at + to * width)
    end
    local text =
      call('GETRANGE', part.key, part.offset + from * width, part.offset + to * width - 1)
    require_that(#text == (to - from) * width)
    return text
  end
  local ends = part.head + count
  return stored(part.head, min(ends, part.slots)) .. stored(0, ends - part.slots) .. part.added
end
