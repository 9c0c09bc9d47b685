-- Windows that open and end when a calendar says. The server has no calendars, so each check brings
-- the windows that the process believes to be those of now, and the server's time says which it is.
-- If that is none of them, or if the stored state needs other windows, the check ends here before it
-- has changed anything. Its reply says what is missing, and the process asks once more, with that.
--
-- A calendar is the text by which its state is known: the unit's letter and the name of the zone. A
-- window has its ends, `from` and `till`, and a number; that of the window after it is mostly one higher.
-- A part that counts by a calendar has the window of its units in these fields. Its `today` is the window
-- of the present time, if something may ask for that; it can be the part itself.

-- Notes that a window is missing. Of a calendar that the process does not know come no windows.
function want(calendar, kind, value)
  if windows and windows[calendar] and #windows[calendar] == 0 then
    unreadable('TOLLGATE the value is of a zone that this release does not know')
  end
  wanted = wanted or {}
  wanted[#wanted + 1] = pack('<BdBc0', kind, value, #calendar, calendar)
end

-- Ends the check with what is missing. An empty text asks for the windows of now.
function ask()
  local text = table.concat(wanted or {})
  wanted = nil
  error({ wanted = text })
end

-- Returns the window of an instant, or the one with this number; nil if it did not come.
function window_of(calendar, at, number)
  for _, window in ipairs(windows and windows[calendar] or {}) do
    if number == window.number or at and window.from <= at and at < window.till then
      return window
    end
  end
end

-- Reads the windows of a plan, and finds those of now for its quotas.
local function read_windows(plan)
  local text, at, names = plan.calendars, 1, {}
  plan.windows = {}
  while at <= #text do
    local name, count
    name, count, at = unpack('<Bc0B', text, at)
    local list = plan.windows[name] or {}
    for _ = 1, count do
      local window = {}
      window.from, window.till, window.number, at = unpack('<ddd', text, at)
      list[#list + 1] = window
    end
    plan.windows[name], names[#names + 1] = list, name
  end
  windows = plan.windows
  local next_name = 1
  for i = 1, plan.count do
    -- The others have a length of their own.
    if plan[i].capacity == 0 then
      plan[i].calendar, next_name = names[next_name], next_name + 1
      plan[i].today = window_of(plan[i].calendar, now)
      plan.lacks_today = plan.lacks_today or not plan[i].today
    end
  end
end

-- Requires the windows of now for the plan's quotas.
function require_windows(plan)
  if not plan.windows then read_windows(plan) end
  if plan.lacks_today then ask() end
end

-- Moves the units of a part to this window.
function set_window(part, window)
  part.from, part.till, part.number = window.from, window.till, window.number
end

-- Finds the window of now for a part that is stored. `is_charged` is true if it may be charged, even
-- if no units are in use.
function find_today(part, is_charged)
  part.today = window_of(part.calendar, now)
  if part.today and part.today.from <= part.start and part.start < part.today.till then
    -- Another release may have other rules of the zone.
    set_window(part, part.today)
  elseif not part.today and part.used > 0 and part.from <= now and now < part.till then
    part.today = part
  end
  if not part.today and (is_charged or part.used > 0 and (part.owed or now < part.from)) then
    want(part.calendar, OF_INSTANT, now)
  end
end

-- Returns true if the window of a part is over.
function is_past(part)
  local today = part.today
  if today then return part.start < today.from end
  return now >= part.till
end

function advance_calendar(part)
  if part.used == 0 then return end
  if now < part.start then
    -- A short step back is a disagreement of clocks at a bound. In the window before, the units
    -- would be forgotten at once.
    if part.start - now > MAX_STEP_BACK or part.from <= now then
      part.start, part.opening, part.dirty = now, part.used, true
      set_window(part, part.today)
    end
  elseif not part.owed and is_past(part) then
    part.start, part.used, part.opening, part.dirty = 0, 0, 0, true
  end
end

-- Takes units out of a window, if the charge is one of it.
function give_back(window, stamp, units)
  if stamp < window.start or stamp >= window.till or window.used < units then return false end
  window.used = window.used - units
  window.opening = min(window.opening, window.used)
  return true
end

-- Returns the number of the window of a calendar that takes the last of a part's debt.
local function last_number(part, quota)
  return part.number + ceil(owed_of(part, quota) / quota.limit)
end

-- Requires the end of a part's debt, which parts are compared by.
function find_end(part)
  if part.owed and not window_of(part.calendar, nil, last_number(part, part)) then
    want(part.calendar, OF_NUMBER, last_number(part, part))
  end
end

-- Returns the time from which on no units of a calendar's window and of its debt are in use. If the end
-- of the debt is not known, it is an earlier time if both have passed, and a later one if neither has.
function calendar_empty_at(part, quota)
  if part.used == 0 then return 0 end
  if not part.owed then return part.till end
  local number, today = last_number(part, quota), part.today
  local last = window_of(part.calendar, nil, number)
  if last then return last.till end
  if today and today.number > number then return today.from end
  return part.till + (number - part.number) * (part.period + MAX_MORE)
end
