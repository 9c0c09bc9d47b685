-- Charges one unit to a log in the long form whose entries are of one unit: in place.
if cost > 1 or is_wide then break end
local header, charged_at, of_limit, first, of_period, head, entries, slots, last =
  unpack('<I4dI4I4dI2I2I2d', value)
if header ~= LOG_HEADER or of_limit ~= limit or of_period ~= period or entries > slots
  or entries * 4 <= SMALL / 2 or head >= slots or not (last <= charged_at and charged_at <= now)
  or last % 1 ~= 0 or last + period <= now then break end
first = last - (last - first) % STEPS
local expired = 0
if first + period <= now then
  -- Most charges find few entries that have expired since the one before.
  local from = (head + 1) % slots
  work = work + 2
  local ring = try_call('GETRANGE', key, 42 + from * 4, 41 + math.min(slots, from + 32) * 4)
  while first + period <= now do
    expired = expired + 1
    if expired == entries - 1 then
      first = last
    elseif expired * 4 > #ring then
      break
    else
      first = last - (last - unpack('<I4', ring, expired * 4 - 3)) % STEPS
    end
  end
  if first + period <= now then break end
  head, entries = (head + expired) % slots, entries - expired
end
local is_admitted = entries < limit
if expired > 0 and (not is_admitted or entries * 4 <= SMALL / 2) then break end
if is_admitted then
  local slice = period / 16
  local result = try_call('SETRANGE', key, 42 + (head + entries - 1) % slots * 4,
    pack('<I4', last % STEPS))
  if type(result) == 'number' then
    result = try_call('SETRANGE', key, '0', pack('<I4dI4I4dI2I2I2d', LOG_HEADER, now, limit,
      first % STEPS, period, head, entries + 1, slots, now))
  end
  if type(result) == 'number' and floor(charged_at / slice) ~= floor(now / slice) then
    result = try_call('PEXPIRE', key, expiry + ceil(slice / 1000))
  end
  if type(result) ~= 'number' then
    failure = result.err
    break
  end
  entries, last = entries + 1, now
elseif entries > limit then
  -- A debt.
  break
end
reply = pack('<BI8I8I8I8I8I8I8', 7, is_admitted and 1 or 0, entries, 2, first, 1, last, entries - 1)
