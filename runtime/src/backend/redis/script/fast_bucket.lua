-- Charges a bucket.
local text = try_call('GET', key)
local tat, fraction = 0, 0
if text then
  if #text ~= 44 then break end
  local header, charged_at, of_limit, of_capacity, of_period
  header, charged_at, of_limit, of_capacity, of_period, tat, fraction = unpack('<I4dI4I4ddI4', text)
  if header ~= BUCKET_HEADER or of_limit ~= limit or of_capacity ~= capacity or of_period ~= period
    or not (charged_at <= now and tat <= charged_at + full_span + 1 and fraction <= limit)
    or tat % 1 ~= 0 then break end
end
-- As in `charged_tat`.
local new, new_fraction = now + cost_span, cost_fraction
if tat >= now then new, new_fraction = tat + cost_span, fraction + cost_fraction end
if new_fraction >= limit then new, new_fraction = new + 1, new_fraction - limit end
local latest = now + usable_span
if new < latest or (new == latest and new_fraction <= usable_fraction) then
  local millis = ceil(((new_fraction > 0 and new + 1 or new) - now) / 1000) + 1
  failure = try_call('SET', key, beginning .. pack('<dI4I4', new, new_fraction, 0), 'PX',
    virtual and millis + 3600000 or millis).err
  if failure then break end
  reply = pack('<BI8I8I8', 3, 1, new, new_fraction)
else
  reply = pack('<BI8I8I8', 3, 0, tat, fraction)
end
