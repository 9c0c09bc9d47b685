-- Charges a log in the short form whose entries are (time, units).
local used, first, first_units, last, last_units, ring = 0, now, cost, now, 0, ''
if value ~= '' then
  local length = #value
  if length < 34 then break end
  local header, of_limit, of_period, entries
  header, of_limit, of_period, last, entries, used, last_units = unpack('<I4I4ddI2I4I4', value)
  if header ~= WIDE_HEADER or of_limit ~= limit or of_period ~= period or used > limit
    or length ~= 22 + entries * 12 or not (last <= now) or last % 1 ~= 0 then break end
  if last + period <= now then
    used, last_units = 0, 0
  else
    first, first_units = last, last_units
    if entries > 1 then first, first_units = unpack('<dI4', value, 35) end
    if not (first <= last and first + period > now) then break end
    ring = sub(value, 35)
  end
end
local left, room = used - first_units, limit - cost
if used <= room then
  if used > 0 then
    if floor(last / granule) ~= floor(now / granule) then
      ring, last_units = ring .. pack('<dI4', last, last_units), 0
      if #ring > SMALL then break end
    end
  end
  used, last_units = used + cost, last_units + cost
  if ring == '' then first, first_units = now, last_units end
  left = used - first_units
  if cost > 1 and left > room then break end
  last = now
  failure = try_call('SET', key,
    beginning .. pack('<I2I4I4', #ring / 12 + 1, used, last_units) .. ring, 'PX', expiry).err
  if failure then break end
  if left > 0 then
    reply = pack('<BI8I8I8I8I8I8I8', 7, 1, used, 2, first, first_units, now, left)
  else
    reply = pack('<BI8I8I8I8I8', 5, 1, used, 1, first, first_units)
  end
elseif used > 0 and left <= room then
  reply = left > 0 and pack('<BI8I8I8I8I8I8I8', 7, 0, used, 2, first, first_units, last, left)
    or pack('<BI8I8I8I8I8', 5, 0, used, 1, first, first_units)
end
