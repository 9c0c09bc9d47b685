-- Makes the functions that the fast checks do not need.
local min, max = math.min, math.max

-- Returns the time whose low 32 bits are `step`, and which is less than 2^32 microseconds before
-- `last`.
local function full_time(last, step)
  return last - (last - step) % STEPS
end

-- Returns the text of an entry of a log.
local function encode_entry(width, time, units)
  return width == 4 and pack('<I4', time % STEPS) or pack('<dI4', time, units)
end

-- Returns the expiry of a key whose state ends at `instant`: the time until then in whole
-- milliseconds, rounded up, and one more. A state that is stored for too long is harmless, since
-- the arithmetic ignores it.
local function millis_until(instant)
  local millis = ceil((instant - now) / 1000) + 1
  -- A test's clock stands still while the server's runs, so the key expires an hour later.
  return virtual and millis + 3600000 or millis
end

local function encode_reply(numbers)
  return pack('<B' .. string.rep('I8', #numbers), #numbers, values(numbers))
end

include 'plan.lua'
include 'counter.lua'
include 'bucket.lua'
include 'compact.lua'
include 'compact_check.lua'

local function build_slow_path()
  -- The windows that came with the check, by calendar; the list of those that are missing; and the
  -- functions of calendar.lua, which are made when a calendar is met.
  local windows, wanted, want, ask, window_of, require_windows, set_window, find_today, find_end
  local is_past, advance_calendar, calendar_empty_at, give_back
  include 'log.lua'
  include 'debt.lua'
  local function build_calendars()
    if not want then
      include 'calendar.lua'
    end
  end
  include 'dispatch.lua'
  include 'ban.lua'
  include 'codec.lua'
  include 'translation.lua'
  include 'check.lua'
  include 'permits.lua'
  include 'failure.lua'
  return { check = check, recover = recover, finish_all = finish_all }
end

-- Carries out a check that is no fast one, or gives it the error of its write. An error is the
-- reply only to the checks of its key.
function check_slowly(number, key, value, failure)
  local plan, done, reply = plan_of(byte(plan_numbers, number)), not failure, nil
  if done and plan.is_compact and not seen[key] then
    done, reply = pcall(check_compact, key, plan)
    if reply and done then return reply end
    failure = reply
  end
  slow_path = slow_path or build_slow_path()
  if done then
    done, reply = pcall(slow_path.check, number, key, plan,
      type(value) == 'string' and value or nil)
    if done then return reply end
    failure = reply
  end
  slow_path.recover(number, failure)
  return replies[number + 1]
end
