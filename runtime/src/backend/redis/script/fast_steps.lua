-- Charges a log in the short form whose entries are of one unit.
local used, entries, at, first, last, length = 0, 0, 23, now, now, #value
if value ~= '' then
  if length < 30 then break end
  local header, of_limit, of_period
  header, of_limit, of_period, last, entries = unpack('<I4I4I4dI2', value)
  if header ~= STEPS_HEADER or of_limit ~= limit or of_period ~= period or entries > limit
    or length ~= (entries > 3 and 18 + entries * 4 or 30) or not (last <= now) or last % 1 ~= 0 then break end
  if last + period > now then
    used, first = entries, last
    while used > 1 do
      first = last - (last - unpack('<I4', value, at)) % STEPS
      if first + period > now then break end
      used, at, first = used - 1, at + 4, last
    end
  end
end
local is_admitted, ring = used + cost <= limit, ''
if is_admitted then
  if used == 0 then
    first = now
  else
    ring = sub(value, at, 18 + entries * 4) .. pack('<I4', last % STEPS)
  end
  if cost > 1 then ring = ring .. string.rep(pack('<I4', now % STEPS), cost - 1) end
  if #ring > SMALL then break end
  used, last = used + cost, now
  -- The room of three entries, as in `encode_short`.
  if used < 3 then ring = ring .. string.rep('\0', 12 - used * 4) end
  failure = try_call('SET', key, beginning .. pack('<I2', used) .. ring, 'PX', expiry).err
  if failure then break end
elseif used < entries then
  -- The slow path removes the entries that have expired.
  break
end
-- As in `report_log`.
local status, left, room = is_admitted and 1 or 0, used - 1, limit - cost
if left == 0 then
  reply = pack('<BI8I8I8I8I8', 5, status, used, 1, first, 1)
elseif cost == 1 or left <= room then
  reply = pack('<BI8I8I8I8I8I8I8', 7, status, used, 2, first, 1, last, left)
elseif room == 0 then
  reply = pack('<BI8I8I8I8I8I8I8', 7, status, used, 2, first, 1, last, left)
else
  local text, place = ring, (left - room) * 4 + 1
  if not is_admitted then text, place = value, place + 22 end
  reply = pack('<BI8I8I8I8I8I8I8I8I8', 9, status, used, 3, first, 1,
    last - (last - unpack('<I4', text, place)) % STEPS, left - room, last, room)
end
