-- The sliding window counter: its two counts, and the comparison of products beyond 2^53.

-- Returns the product a × b as two numbers, high and low, with a × b = high × 2^30 + low. It
-- requires that a is below 2^32 and b below 2^45.
local function product(a, b)
  local b0 = b % 32768
  local b1 = floor(b / 32768) % 32768
  local low = a * b0
  local mid = a * b1 + floor(low / 32768)
  return a * floor(b / 1073741824) + floor(mid / 32768), (mid % 32768) * 32768 + low % 32768
end

-- Returns true if previous × covered ≤ room × period.
local function weighs_at_most(previous, covered, room, period)
  if previous <= room then return true end
  local high, low = product(previous, covered)
  local room_high, room_low = product(room, period)
  return high < room_high or (high == room_high and low <= room_low)
end

local function advance_counter(part, quota)
  local period = quota.period
  local start = now - now % period
  if part.current == 0 and part.previous == 0 then
    part.start = start
  elseif now < part.start then
    part.start, part.dirty = start, true
  elseif now - part.start >= period then
    part.previous = start - part.start < 2 * period and part.current or 0
    part.current, part.start, part.dirty = 0, start, true
  end
end
