-- The sliding log: a ring of (time, units) for each quota.
--
-- The stored header of a quota contains its first (oldest) entry and its last (newest) entry, in
-- the fields `first_time`, `first_units`, `last_time` and `last_units`. The last entry is only in
-- the header, and gets its slot in the ring when the next entry comes. The first entry is also in
-- its slot. So a charge reads the header and writes one slot. In memory, `list` contains all
-- entries if the ring has to be written anew, and `slot` is the number of a slot that has to be
-- written.

-- Raises the error of a value that is not one of ours, or not any longer.
local function unreadable(reason)
  error({ err = reason })
end

-- Requires what holds for every value that a release has stored.
local function require_that(makes_sense)
  if not makes_sense then unreadable('TOLLGATE the value makes no sense') end
end

-- Returns the time and the units of entry k, where the oldest entry is number 0. Slots are read in
-- chunks of 32.
local function entry(part, k)
  if part.list then return part.list[k + 1][1], part.list[k + 1][2] end
  if k == part.count - 1 then return part.last_time, part.last_units end
  if k == 0 then return part.first_time, part.first_units end
  local at = (part.head + k) % part.slots
  if part.slot == at then return part.slot_time, part.slot_units end
  if not part.chunk or at < part.chunk_start or at >= part.chunk_end then
    part.chunk_start, part.chunk_end = at, min(part.slots, at + 32)
    part.chunk = call('GETRANGE', part.key, part.offset + at * 12,
      part.offset + part.chunk_end * 12 - 1)
  end
  local time, units = unpack('<dI4', part.chunk, (at - part.chunk_start) * 12 + 1)
  require_that(time >= part.first_time and time <= part.last_time and time % 1 == 0 and units > 0)
  return time, units
end

-- Returns all entries as a list, which the caller may change.
local function to_list(part)
  if not part.list then
    local list = {}
    for k = 0, part.count - 1 do
      local time, units = entry(part, k)
      list[k + 1] = { time, units }
    end
    part.list = list
  end
  return part.list
end

-- Sets the fields of the header from the list.
local function update_header(part)
  local list = part.list
  part.count = #list
  part.head = 0
  if part.count > 0 then
    part.first_time, part.first_units = list[1][1], list[1][2]
    part.last_time, part.last_units = list[part.count][1], list[part.count][2]
  end
end

local function clear_log(part)
  part.head, part.count, part.used = 0, 0, 0
  part.first_time, part.first_units, part.last_time, part.last_units = 0, 0, 0, 0
  part.list, part.slot, part.chunk = nil, nil, nil
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
  if part.last_time + quota.period <= now then return clear_log(part) end
  if part.list then
    while part.list[1][1] + quota.period <= now do
      part.used = part.used - part.list[1][2]
      table.remove(part.list, 1)
    end
    return update_header(part)
  end
  local k = 0
  local time, units = part.first_time, part.first_units
  while time + quota.period <= now do
    part.used = part.used - units
    k = k + 1
    time, units = entry(part, k)
  end
  require_that(part.used >= units)
  part.head, part.count = (part.head + k) % part.slots, part.count - k
  part.first_time, part.first_units = time, units
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
    while left > room and k < part.count - 1 do
      k = k + 1
      time, units = entry(part, k)
      sum, left = sum + units, left - units
    end
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
  if part.count > 0 and floor(part.last_time / quota.granule) == floor(now / quota.granule) then
    part.last_time, part.last_units = now, part.last_units + cost
    if part.count == 1 then part.first_time, part.first_units = part.last_time, part.last_units end
    if part.list then part.list[part.count] = { part.last_time, part.last_units } end
    return
  end
  if part.count == part.slots or part.slot then to_list(part) end
  if part.list then
    part.list[part.count + 1] = { now, cost }
    return update_header(part)
  end
  if part.count > 0 then
    part.slot = (part.head + part.count - 1) % part.slots
    part.slot_time, part.slot_units = part.last_time, part.last_units
  else
    part.first_time, part.first_units = now, cost
  end
  part.count, part.last_time, part.last_units = part.count + 1, now, cost
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
