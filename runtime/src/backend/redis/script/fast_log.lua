-- Charges a check of one quota of a sliding log, and returns the reply. It handles values that this
-- release has written as a whole, and keys without state, which most checks find. For any other
-- check it returns nil and the beginning of the value, and then it has changed nothing.
local function fast_log(key, plan)
  local quota, cost = plan[1], plan.cost
  local limit, period, width = quota.limit, quota.period, quota.width
  -- The entries that are in use: their units, the ring, which begins at `at` in `text`, the first
  -- entry and the last one.
  local used, at, first, first_units, last, last_units = 0, 1, now, 0, now, 0
  local is_wide = width == 12
  local value = call('GETRANGE', key, 0, 399)
  local text = value
  local count = 0
  if text ~= '' then
    local charged_at, head, slots
    if sub(text, 1, 4) ~= plan.header or sub(text, 13, 16) ~= plan.limit
      or sub(text, 21, 28) ~= plan.period then return nil, value end
    charged_at = unpack('<d', text, 5)
    head, count, slots, at = unpack('<I2I2I2', text, 29)
    if is_wide then
      count = count - WIDE
      if count < 0 then return nil, value end
      used, first, first_units, last, last_units, at = unpack('<I4dI4dI4', text, at)
    else
      last, at = unpack('<d', text, at)
      used, last_units = count, 1
    end
    if head > 0 or count ~= slots + 1 or #text ~= at - 1 + slots * width or used > limit
      or not (last <= charged_at and charged_at <= now) or last % 1 ~= 0 then return nil, value end
    if last + period <= now then
      text, used, at, last_units = '', 0, 1, 0
    elseif is_wide then
      if not (first <= last and first + period > now) then return nil, value end
    else
      local age = now - last
      while used > 1 and age + (last - unpack('<I4', text, at)) % STEPS >= period do
        used, at = used - 1, at + 4
      end
      first, first_units = used > 1 and full_time(last, unpack('<I4', text, at)) or last, 1
    end
  end
  local ring, admitted = sub(text, at), used + cost <= limit
  if admitted then
    if used == 0 then
      first, first_units = now, is_wide and cost or 1
    elseif not is_wide or floor(last / quota.granule) ~= floor(now / quota.granule) then
      ring, last_units = ring .. encode_entry(width, last, last_units), 0
    end
    used, last, last_units = used + cost, now, last_units + cost
    if is_wide then
      if ring == '' then first, first_units = now, last_units end
    else
      ring = ring .. string.rep(encode_entry(4, now), cost - 1)
    end
    if #ring > SMALL then return nil, value end
  elseif is_wide or used < count then
    -- The slow path removes the entries that have expired.
    return nil, value
  end
  -- As in `report_log`.
  local left, room = used - first_units, limit - cost
  local reply, has_wait = { admitted and 1 or 0, used, 1, first, first_units }, cost > 1 or not admitted
  if has_wait and left > room then
    if is_wide then return nil, value end
    reply[3], reply[7], left = 2, left - room, room
    reply[6] = room > 0 and full_time(last, unpack('<I4', ring, reply[7] * 4 + 1)) or last
  end
  if left > 0 then
    local length = #reply
    reply[3], reply[length + 1], reply[length + 2] = reply[3] + 1, last, left
  end
  if admitted then
    local slots = #ring / width
    local numbers = is_wide
      and pack('<I4dI2I2I2I4dI4dI4', 0, period, 0, slots + 1 + WIDE, slots, used, first, first_units,
        last, last_units)
      or pack('<I4dI2I2I2d', first % STEPS, period, 0, slots + 1, slots, last)
    call('SET', key, plan.header .. pack('<d', now) .. plan.limit .. numbers .. ring, 'PX',
      millis_until(now + period))
  end
  return encode_reply(reply)
end
