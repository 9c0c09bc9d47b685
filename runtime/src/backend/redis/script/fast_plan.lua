-- Decodes a plan for the fast checks. For other plans it only finds out that they are such.
current = index
local text, action, quotas, spaced = plans[index + 2], 0, 0, 0
family, action, quotas, spaced = byte(text, 1, 4)
if quotas ~= 1 or action ~= CHARGE then
  family = 0
elseif family == BUCKET then
  local stamp, full_fraction
  cost, stamp, limit, capacity, period, full_span, full_fraction, cost_span, cost_fraction =
    unpack('<I4dI4I4ddI4dI4', text, 5)
  usable_span = spaced == 1 and cost_span or full_span
  usable_fraction = spaced == 1 and cost_fraction or full_fraction
  beginning = pack('<I4dI4I4d', BUCKET_HEADER, now, limit, capacity, period)
elseif family == LOG then
  local stamp
  cost, stamp, limit, capacity, period = unpack('<I4dI4I4d', text, 5)
  is_wide = limit > RESOLUTION or period >= STEPS
  if is_wide then
    -- As in `granule_of`.
    granule = limit > RESOLUTION and ceil(period / RESOLUTION) or 1
    beginning = pack('<I4I4dd', WIDE_HEADER, limit, period, now)
  else
    beginning = pack('<I4I4I4d', STEPS_HEADER, limit, period, now)
  end
  -- A text, so that it need not be made anew for each check.
  expiry = ceil(period / 1000) + 1 + (virtual and 3600000 or 0) .. ''
end
