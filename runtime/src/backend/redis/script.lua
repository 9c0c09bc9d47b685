-- Decides about checks of many keys at once. One key is one subject under one policy, and holds
-- all its quotas. All times are whole microseconds; every number stays below 2^53, where Lua's
-- numbers are exact. The Rust cores (runtime/src/algorithm) are the same rules in other words.
--
-- KEYS[i]  the key of the i-th check.
-- ARGV[1]  the time, for tests; empty: the server's.
-- ARGV[2]  a byte for each check: the number of its plan.
-- ARGV[3…] the plans: what to do, and the quotas (see `script.rs`).
--
-- Answers in one string, which costs a third of what as many integers do: the time, and for each
-- check how many numbers follow, its status and the raw state of each quota, from which the
-- library computes what is left. All are unsigned, 8 bytes, little-endian; what precedes them is
-- one byte. For a check that failed it is 255, and then the error's text after its length.

local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max
local values, pack, unpack, sub, call = unpack, struct.pack, struct.unpack, string.sub, redis.call

local VERSION, HEAD = 1, 12
local LOG, COUNTER, FIXED, BUCKET = 1, 2, 3, 4
local CHARGE, LOOK, RESET, REFUND = 0, 1, 2, 3
local MOST = 4294967295

local virtual = ARGV[1] ~= ''
local now
if virtual then
  now = tonumber(ARGV[1])
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

---------------------------------------------------------------------------------------- plans

local plans = {}

local function plan_of(number)
  local plan = plans[number]
  if not plan then
    local text = ARGV[number + 2]
    local family, op, count, _, cost, stamp, at = unpack('<BBBBI4d', text)
    local quotas = sub(text, at, at + count * 28 - 1)
    local quick = count == 1 and family ~= LOG and op == CHARGE and cost > 0
    plan = {
      family = family, op = op, count = count, cost = cost, stamp = stamp, quotas = quotas,
      quick = quick,
      -- What is stored before and after the time of the last charge.
      head = quick and pack('<BBBB', VERSION, family, 1, 0), same = quick and sub(quotas, 1, 16),
    }
    local takes = at + count * 28
    for i = 1, count do
      -- A bucket's `span` is the time that its capacity takes, and `take` that of the cost; rests
      -- are in 1/limit of a microsecond.
      local limit, cap, period, span, span_rest, take, take_rest
      limit, cap, period, span, span_rest, at = unpack('<I4I4ddI4', text, at)
      take, take_rest, takes = unpack('<dI4', text, takes)
      plan[i] = {
        limit = limit, cap = cap, period = period, span = span, span_rest = span_rest,
        take = take, take_rest = take_rest,
        granule = limit <= 1024 and 1 or ceil(period / 1024),
      }
    end
    plans[number] = plan
  end
  return plan
end

------------------------------------------------------------------- the counter and its products

-- a × b as high × 2^30 + low, for a below 2^32 and b below 2^45.
local function product(a, b)
  local b0 = b % 32768
  local b1 = floor(b / 32768) % 32768
  local low = a * b0
  local mid = a * b1 + floor(low / 32768)
  return a * floor(b / 1073741824) + floor(mid / 32768), (mid % 32768) * 32768 + low % 32768
end

-- Whether previous × covered ≤ room × period.
local function weighs_at_most(previous, covered, room, period)
  if previous <= room then return true end
  local high, low = product(previous, covered)
  local room_high, room_low = product(room, period)
  return high < room_high or (high == room_high and low <= room_low)
end

local function advance_counter(p, q)
  local period = q.period
  local start = now - now % period
  if p.current == 0 and p.previous == 0 then
    p.start = start
  elseif now < p.start then
    p.start, p.dirty = start, true
  elseif now - p.start >= period then
    p.previous = start - p.start < 2 * period and p.current or 0
    p.current, p.start, p.dirty = 0, start, true
  end
end

----------------------------------------------------------------------------------- the bucket

-- The time that `units`, which may be a fraction, take; a rest is in 1/limit of a microsecond.
local function span_of(units, q)
  local whole = floor(units + 0.5)
  if math.abs(units - whole) < 0.000001 and whole * q.period < 9007199254740992 then
    local micros = floor(whole * q.period / q.limit)
    return micros, whole * q.period - micros * q.limit
  end
  return ceil(units * q.period / q.limit), 0
end

-- The TAT after what is charged now.
local function charged_tat(p, q)
  local tat, rest = p.tat, p.rest
  if tat < now then tat, rest = now, 0 end
  tat, rest = tat + q.take, rest + q.take_rest
  if rest >= q.limit then tat, rest = tat + 1, rest - q.limit end
  return tat, rest
end

------------------------------------------------------------- the three that are a few numbers

local function advance_small(family, p, q)
  if family == COUNTER then
    advance_counter(p, q)
  elseif family == FIXED then
    if p.used == 0 then return end
    if p.start + q.period <= now then
      p.start, p.used, p.opening, p.dirty = 0, 0, 0, true
    elseif p.start > now then
      p.start, p.opening, p.dirty = now, p.used, true
    end
  elseif p.tat > now + q.span or (p.tat == now + q.span and p.rest > q.span_rest) then
    p.tat, p.rest, p.dirty = now + q.span, q.span_rest, true
  end
end

local function small_admits(family, p, q, cost)
  if family == BUCKET then
    local tat, rest = charged_tat(p, q)
    return tat < now + q.span or (tat == now + q.span and rest <= q.span_rest)
  elseif family == FIXED then
    return p.used + cost <= q.limit
  end
  local room = q.limit - cost - min(p.current, q.limit)
  return room >= 0
    and weighs_at_most(min(p.previous, q.limit), q.period - (now - p.start), room, q.period)
end

-- Takes the cost, and `more` units that only another release's limit still counts.
local function charge_small(family, p, q, cost, more)
  if family == BUCKET then
    p.tat, p.rest = charged_tat(p, q)
    if more > 0 then
      local micros, rest = span_of(more, q)
      p.tat, p.rest = p.tat + micros, p.rest + rest
      if p.rest >= q.limit then p.tat, p.rest = p.tat + 1, p.rest - q.limit end
    end
  elseif family == COUNTER then
    p.current = min(p.current + cost + ceil(more), MOST)
  else
    if p.used == 0 then p.start = now end
    p.used = min(p.used + cost + ceil(more), MOST)
    if p.start == now then p.opening = p.used end
  end
end

-- When nothing is in use any more; 0 if nothing is.
local function small_empty_at(family, p, q)
  if family == BUCKET then
    return p.rest > 0 and p.tat + 1 or p.tat
  elseif family == FIXED then
    return p.used > 0 and p.start + q.period or 0
  end
  if p.current > 0 then return p.start + 2 * q.period end
  return p.previous > 0 and p.start + q.period or 0
end

local function shown_small(family, p, q)
  if family == COUNTER then return p.start, min(p.current, q.limit), min(p.previous, q.limit) end
  if family == FIXED then return p.start, p.used, p.opening end
  if p.tat > now + q.span or (p.tat == now + q.span and p.rest > q.span_rest) then
    -- Another release has charged more than this one's bucket holds.
    return now + q.span, q.span_rest
  end
  return p.tat, p.rest
end

-- The three numbers that are stored, and back.
local function put_small(family, p, a, b, c)
  if family == COUNTER then
    p.start, p.current, p.previous = a, b, c
  elseif family == FIXED then
    p.start, p.used, p.opening = a, b, c
  else
    p.tat, p.rest = a, b
  end
end

local function numbers_of(family, p)
  if family == COUNTER then return p.start, p.current, p.previous end
  if family == FIXED then return p.start, p.used, p.opening end
  return p.tat, p.rest, 0
end

-- Whole milliseconds, rounded up, and one more: what has passed is judged by arithmetic.
local function millis_until(instant)
  local millis = ceil((instant - now) / 1000) + 1
  -- A test's time does not pass by itself; the server's does.
  return virtual and millis + 3600000 or millis
end

-- What a check of one quota answers, by its family.
local ANSWERS = { [COUNTER] = '<BI8I8I8I8', [FIXED] = '<BI8I8I8I8', [BUCKET] = '<BI8I8I8' }
local ANSWERED = { [COUNTER] = 4, [FIXED] = 4, [BUCKET] = 3 }

local function answer_of(numbers)
  return pack('<B' .. string.rep('I8', #numbers), #numbers, values(numbers))
end

-- Most checks: one quota, of few numbers, as this release has stored it. Says nothing if it is
-- anything else, and then nothing has been done.
local scratch = { tat = 0, rest = 0, start = 0, used = 0, opening = 0, current = 0, previous = 0 }
local function quick(key, plan)
  local q, family, p, a, b, c = plan[1], plan.family, scratch, 0, 0, 0
  local text = call('GET', key)
  if text then
    if #text ~= 44 or sub(text, 1, 4) ~= plan.head or sub(text, 13, 28) ~= plan.same then return end
    local anchor = unpack('<d', text, 5)
    a, b, c = unpack('<dI4I4', text, 29)
    if anchor > now or (family == BUCKET and a >= anchor + q.span) then return end
  end
  p.dirty = nil
  put_small(family, p, a, b, c)
  advance_small(family, p, q)
  if not small_admits(family, p, q, plan.cost) then
    if p.dirty then return end
    return pack(ANSWERS[family], ANSWERED[family], 0, shown_small(family, p, q))
  end
  charge_small(family, p, q, plan.cost, 0)
  call('SET', key, plan.head .. pack('<d', now) .. plan.same .. pack('<dI4I4', numbers_of(family, p)),
    'PX', millis_until(small_empty_at(family, p, q)))
  return pack(ANSWERS[family], ANSWERED[family], 1, shown_small(family, p, q))
end

------------------------------------------------------------------------------------ the checks

local states, order, out = {}, {}, { pack('<I8', now) }

local function reason(failure)
  local text = type(failure) == 'table' and failure.err or tostring(failure)
  return pack('<BI4', 255, #text) .. text
end

-- Everything that few checks need, made when one does.
local function thorough()
  -------------------------------------------------------------------------------- the sliding log
  -- A ring of (time, units) per quota. The newest entry is kept in the head only, and gets
  -- its slot when the next one comes; the oldest is there twice. `list` holds all entries when
  -- the ring has to be written anew, and `slot` one that has to be written.

  local function entry(p, k)
    if p.list then return p.list[k + 1][1], p.list[k + 1][2] end
    if k == p.count - 1 then return p.nt, p.nu end
    if k == 0 then return p.ot, p.ou end
    local at = (p.head + k) % p.slots
    if p.slot == at then return p.slot_t, p.slot_u end
    if not p.raw or at < p.low or at >= p.high then
      p.low, p.high = at, min(p.slots, at + 32)
      p.raw = call('GETRANGE', p.key, p.offset + at * 12, p.offset + p.high * 12 - 1)
    end
    return unpack('<dI4', p.raw, (at - p.low) * 12 + 1)
  end

  local function listed(p)
    if not p.list then
      local list = {}
      for k = 0, p.count - 1 do
        local t, u = entry(p, k)
        list[k + 1] = { t, u }
      end
      p.list = list
    end
    return p.list
  end

  -- Brings the head in line with the list.
  local function relist(p)
    local list = p.list
    p.count = #list
    p.head = 0
    if p.count > 0 then
      p.ot, p.ou = list[1][1], list[1][2]
      p.nt, p.nu = list[p.count][1], list[p.count][2]
    end
  end

  local function clear_log(p)
    p.head, p.count, p.used, p.ot, p.ou, p.nt, p.nu = 0, 0, 0, 0, 0, 0, 0
    p.list, p.slot, p.raw = nil, nil, nil
  end

  local function advance_log(p, q)
    if p.count == 0 then return end
    if p.nt > now then
      local list, units, here = listed(p), 0, floor(now / q.granule)
      while #list > 0 and floor(list[#list][1] / q.granule) >= here do
        units = units + list[#list][2]
        list[#list] = nil
      end
      list[#list + 1] = { now, units }
      relist(p)
      p.dirty = true
    end
    if p.ot + q.period > now then return end
    p.dirty = true
    if p.nt + q.period <= now then return clear_log(p) end
    if p.list then
      while p.list[1][1] + q.period <= now do
        p.used = p.used - p.list[1][2]
        table.remove(p.list, 1)
      end
      return relist(p)
    end
    local k = 0
    local t, u = p.ot, p.ou
    while t + q.period <= now do
      p.used = p.used - u
      k = k + 1
      t, u = entry(p, k)
    end
    p.head, p.count, p.ot, p.ou = (p.head + k) % p.slots, p.count - k, t, u
  end

  local function charge_log(p, q, cost)
    p.used = p.used + cost
    if p.count > 0 and floor(p.nt / q.granule) == floor(now / q.granule) then
      p.nt, p.nu = now, p.nu + cost
      if p.count == 1 then p.ot, p.ou = p.nt, p.nu end
      if p.list then p.list[p.count] = { p.nt, p.nu } end
      return
    end
    if p.count == p.slots or p.slot then listed(p) end
    if p.list then
      p.list[p.count + 1] = { now, cost }
      return relist(p)
    end
    if p.count > 0 then
      p.slot, p.slot_t, p.slot_u = (p.head + p.count - 1) % p.slots, p.nt, p.nu
    else
      p.ot, p.ou = now, cost
    end
    p.count, p.nt, p.nu = p.count + 1, now, cost
  end

  local function refund_log(p, q, stamp, cost)
    local list, wanted = listed(p), floor(stamp / q.granule)
    for k = 1, #list do
      if floor(list[k][1] / q.granule) == wanted then
        if list[k][2] < cost then return false end
        list[k][2] = list[k][2] - cost
        p.used = p.used - cost
        if list[k][2] == 0 then table.remove(list, k) end
        relist(p)
        return true
      end
    end
    return false
  end

  -- What the library needs of the log: the oldest entry, those at which a wait ends, and all the
  -- rest as if it were one with the newest.
  local function show_log(p, q, cost, refused, out)
    local at = #out + 2
    out[at - 1] = p.used
    out[at] = 0
    if p.count == 0 then return end
    local k, left, shown = 0, p.used - p.ou, 1
    out[at + 1], out[at + 2] = p.ot, p.ou
    local function show(t, u)
      shown = shown + 1
      out[at + shown * 2 - 1], out[at + shown * 2] = t, u
    end
    local function until_room(room)
      local t, u, sum = 0, 0, 0
      while left > room and k < p.count - 1 do
        k = k + 1
        t, u = entry(p, k)
        sum, left = sum + u, left - u
      end
      if sum > 0 then show(t, sum) end
    end
    if p.used > q.limit then until_room(q.limit - 1) end
    if refused then until_room(q.limit - cost) end
    if k < p.count - 1 then show(p.nt, left) end
    out[at] = shown
  end

  local function refund_bucket(p, q, stamp)
    local elapsed = now - stamp
    local level, rest = p.tat - now, p.rest
    local back, back_rest = q.take - elapsed, q.take_rest
    if elapsed < 0 or level < 0 or back < 0 or (level == 0 and rest == 0)
      or (back == 0 and back_rest == 0) then return false end
    if back > level or (back == level and back_rest >= rest) then
      p.tat, p.rest = 0, 0
    else
      p.tat, p.rest = p.tat - back, rest - back_rest
      if p.rest < 0 then p.tat, p.rest = p.tat - 1, p.rest + q.limit end
    end
    return true
  end

  ------------------------------------------------------------------------ each by its algorithm

  local function advance(family, p, q)
    if family == LOG then return advance_log(p, q) end
    return advance_small(family, p, q)
  end

  local function admits(family, p, q, cost)
    if family == LOG then return p.used + cost <= q.limit end
    return small_admits(family, p, q, cost)
  end

  local function charge(family, p, q, cost, more)
    if family == LOG then
      charge_log(p, q, min(cost + ceil(more), MOST - p.used))
    else
      charge_small(family, p, q, cost, more)
    end
  end

  local function empty_at(family, p, q)
    if family == LOG then return p.count > 0 and p.nt + q.period or 0 end
    return small_empty_at(family, p, q)
  end

  local function show(family, p, q, cost, refused, out)
    if family == LOG then return show_log(p, q, cost, refused, out) end
    local at = #out
    out[at + 1], out[at + 2], out[at + 3] = shown_small(family, p, q)
  end

  local function refund(family, p, q, stamp, cost)
    if family == LOG then
      return refund_log(p, q, stamp, cost)
    elseif family == COUNTER then
      local elapsed = stamp - p.start
      if elapsed >= 0 and elapsed < q.period and p.current >= cost then
        p.current = p.current - cost
      elseif elapsed < 0 and -elapsed <= q.period and p.previous >= cost then
        p.previous = p.previous - cost
      else
        return false
      end
      return true
    elseif family == FIXED then
      if p.used == cost and p.start == stamp then
        p.start, p.used, p.opening = 0, 0, 0
      elseif p.start == stamp and p.opening > cost then
        p.opening, p.used = p.opening - cost, p.used - cost
      elseif p.start < stamp and p.used - p.opening >= cost then
        p.used = p.used - cost
      else
        return false
      end
      return true
    end
    return refund_bucket(p, q, stamp)
  end

  ---------------------------------------------------------------------------------- stored state
  -- A version, the algorithm, how many quotas, the time of the last charge; then for each quota
  -- its limit, capacity and period, and what is in use.

  local function fresh(family, q)
    local p = { fresh = true }
    if family == LOG then
      p.slots = 0
      clear_log(p)
    elseif family == COUNTER then
      p.start, p.current, p.previous = now - now % q.period, 0, 0
    elseif family == FIXED then
      p.start, p.used, p.opening = 0, 0, 0
    else
      p.tat, p.rest = 0, 0
    end
    return p
  end

  local function decode(key, text)
    local version, family, count, _, anchor, at = unpack('<BBBBd', text)
    if version ~= VERSION or family < LOG or family > BUCKET then
      error({ err = 'TOLLGATE the key holds state of a format that this release does not know' })
    end
    local parts = { family = family, count = count, anchor = anchor }
    local offset = HEAD + count * 50
    for i = 1, count do
      local p
      if family == LOG then
        local limit, cap, period, first, held, slots, used, ot, ou, nt, nu
        limit, cap, period, first, held, slots, used, ot, ou, nt, nu, at =
          unpack('<I4I4dI2I2I2I4dI4dI4', text, at)
        p = {
          limit = limit, cap = cap, period = period, head = first, count = held, slots = slots,
          used = used, ot = ot, ou = ou, nt = nt, nu = nu, key = key, offset = offset,
        }
        offset = offset + slots * 12
      else
        local a, b, c
        p = { limit = 0, cap = 0, period = 0 }
        p.limit, p.cap, p.period, a, b, c, at = unpack('<I4I4ddI4I4', text, at)
        put_small(family, p, a, b, c)
      end
      parts[i] = p
    end
    return parts
  end

  -- How many units were in use at an instant, by the rules that wrote the state.
  local function units_at(family, p, at)
    if family == LOG then
      local used = p.used
      for k = 0, p.count - 1 do
        local t, u = entry(p, k)
        if t + p.period > at then break end
        used = used - u
      end
      return used
    elseif family == COUNTER then
      local elapsed, previous, current = max(at - p.start, 0), p.previous, p.current
      if elapsed >= p.period then elapsed, previous, current = elapsed - p.period, current, 0 end
      if elapsed >= p.period then return 0 end
      return current + ceil(previous * ((p.period - elapsed) / p.period) - 0.000001)
    elseif family == FIXED then
      return at < p.start + p.period and p.used or 0
    end
    local level = p.tat - at + p.rest / p.limit
    return level > 0 and level * p.limit / p.period or 0
  end

  -- Another release's state by this one's rules: what was in use when it was last charged
  -- counts as charged then, up to a full quota. So it locks out for no longer than that.
  local function carried(family, q, parts, old)
    local anchor = min(parts.anchor, now)
    local units = min(units_at(parts.family, old, parts.anchor), q.cap)
    local p = fresh(family, q)
    p.foreign = old
    if units == 0 then return p end
    if family == LOG and parts.family == LOG then
      -- The times are known.
      p.list, p.used = {}, old.used
      for k = 0, old.count - 1 do p.list[k + 1] = { entry(old, k) } end
      relist(p)
    elseif family == LOG then
      units = ceil(units - 0.000001)
      p.list, p.used = { { anchor, units } }, units
      relist(p)
    elseif family == COUNTER then
      p.start, p.current = anchor - anchor % q.period, ceil(units - 0.000001)
    elseif family == FIXED then
      p.start, p.used = anchor, ceil(units - 0.000001)
      p.opening = p.used
    else
      p.tat, p.rest = span_of(units, q)
      p.tat = p.tat + anchor
    end
    return p
  end

  -- Whether a stored part already is what this release would have stored.
  local function serves(family, q, parts, old)
    if parts.family ~= family or old.period ~= q.period then return false end
    if family ~= BUCKET then return true end
    local full = parts.anchor + q.span
    return old.limit == q.limit and old.cap == q.cap
      and (old.tat < full or (old.tat == full and old.rest <= q.span_rest))
  end

  -- For each quota the part that was kept for it: that of the same period, else any that is
  -- left, the longest first.
  local function matched(plan, parts)
    local same = parts.count == plan.count
    for i = 1, plan.count do same = same and parts[i].period == plan[i].period end
    if same then return parts end
    local found, taken = {}, {}
    for i = 1, plan.count do
      for j = 1, parts.count do
        if not found[i] and not taken[j] and parts[j].period == plan[i].period then
          found[i], taken[j] = parts[j], true
        end
      end
    end
    for i = 1, plan.count do
      local longest
      for j = 1, parts.count do
        if not found[i] and not taken[j] and (not longest or parts[j].period > parts[longest].period)
        then longest = j end
      end
      if longest then found[i], taken[longest] = parts[longest], true end
    end
    return found
  end

  local function load(key, plan)
    local state = { key = key, quotas = plan.quotas, family = plan.family, plan = plan, checks = {} }
    local text = call('GETRANGE', key, 0, 255)
    if text == '' then
      state.anchor = now
      for i = 1, plan.count do state[i] = fresh(plan.family, plan[i]) end
      state.anew = true
      return state
    end
    state.held = true
    local parts = decode(key, text)
    local found = matched(plan, parts)
    state.anchor = min(parts.anchor, now)
    state.anew = found ~= parts or parts.family ~= plan.family
    for i = 1, plan.count do
      local q, old = plan[i], found[i]
      if not old then
        state[i] = fresh(plan.family, plan[i])
      elseif serves(plan.family, q, parts, old) then
        state[i] = old
      else
        state[i] = carried(plan.family, q, parts, old)
        state[i].family = parts.family
        state.foreign, state.anew = true, true
      end
      local p = state[i]
      advance(plan.family, p, q)
      -- What only other rules have forgotten is not forgotten by looking.
      state.dirty = state.dirty or p.dirty
    end
    if state.foreign then state.dirty = false end
    return state
  end

  local function write_log(state)
    local plan, anew = state.plan, state.anew
    local head = { pack('<BBBBd', VERSION, LOG, plan.count, 0, state.anchor) }
    for i = 1, plan.count do anew = anew or state[i].list ~= nil end
    for i = 1, plan.count do
      local p, q = state[i], plan[i]
      if anew then
        listed(p)
        local slots = 4
        while slots < p.count do slots = slots * 2 end
        p.head, p.slots = 0, slots
      end
      head[i + 1] = pack('<I4I4dI2I2I2I4dI4dI4', q.limit, q.cap, q.period, p.head, p.count, p.slots,
        p.used, p.ot, p.ou, p.nt, p.nu)
    end
    if not anew then
      for i = 1, plan.count do
        local p = state[i]
        if p.slot then
          call('SETRANGE', state.key, p.offset + p.slot * 12, pack('<dI4', p.slot_t, p.slot_u))
        end
      end
      call('SETRANGE', state.key, 0, table.concat(head))
      return false
    end
    for i = 1, plan.count do
      local p = state[i]
      for k = 1, p.slots do
        local each = p.list[k]
        head[#head + 1] = each and pack('<dI4', each[1], each[2]) or string.rep('\0', 12)
      end
    end
    return table.concat(head)
  end

  local function write_rest(state)
    local plan, family = state.plan, state.family
    local text = pack('<BBBBd', VERSION, family, plan.count, 0, state.anchor)
    for i = 1, plan.count do
      local q = plan[i]
      local a, b, c = numbers_of(family, state[i])
      text = text .. pack('<I4I4ddI4I4', q.limit, q.cap, q.period, a, b, c)
    end
    return text
  end

  local function write(state)
    local ends = 0
    for i = 1, state.plan.count do
      ends = max(ends, empty_at(state.family, state[i], state.plan[i]))
    end
    if ends <= now then
      if state.held then call('DEL', state.key) end
      return
    end
    local millis = millis_until(ends)
    local text
    if state.family == LOG then text = write_log(state) else text = write_rest(state) end
    if text then
      call('SET', state.key, text, 'PX', millis)
    else
      call('PEXPIRE', state.key, millis)
    end
  end

  ------------------------------------------------------------------------------------ the checks

  -- Writes what the checks of a key came to. If that fails, none of them had any effect.
  local function finish(state)
    if not state.dirty then return end
    local done, failure = pcall(write, state)
    if not done then
      for _, check in ipairs(state.checks) do out[check + 1] = reason(failure) end
    end
  end

  local function check(number, key, plan)
    local op, family, cost = plan.op, plan.family, plan.cost
    local state = states[key]
    if state and (state.quotas ~= plan.quotas or state.family ~= family or op == RESET) then
      finish(state)
      state, states[key] = nil, nil
    end
    if op == RESET then
      call('DEL', key)
      return answer_of({ 1 })
    end
    if not state then
      state = load(key, plan)
      states[key] = state
      order[#order + 1] = state
    end
    state.checks[#state.checks + 1] = number

    if op == REFUND then
      local any = false
      -- What was carried over from another release names no charges.
      if state.foreign then return answer_of({ 0 }) end
      for i = 1, plan.count do
        any = refund(family, state[i], plan[i], plan.stamp, cost) or any
      end
      if any then state.dirty = true end
      return answer_of({ any and 1 or 0 })
    end

    local admitted = true
    if cost > 0 then
      for i = 1, plan.count do
        if not admits(family, state[i], plan[i], cost) then admitted = false end
      end
      if admitted and op == CHARGE then
        for i = 1, plan.count do
          local p, q, more = state[i], plan[i], 0
          if p.foreign then
            p.limit, p.period = q.limit, q.period
            more = max(units_at(p.family, p.foreign, now) - units_at(family, p, now), 0)
            p.foreign = nil
          end
          charge(family, p, q, cost, more)
        end
        state.anchor, state.dirty, state.foreign = now, true, nil
      end
    end
    local answer = { admitted and 1 or 0 }
    for i = 1, plan.count do show(family, state[i], plan[i], cost, not admitted, answer) end
    return answer_of(answer)
  end

  return { check = check, finish = finish }
end

local tools
local seen = {}
local keys, numbers = KEYS, ARGV[2]
local number, count = 0, #keys

local function go()
  while number < count do
    number = number + 1
    local key = keys[number]
    local plan = plan_of(string.byte(numbers, number))
    local answer
    -- Another check of the same key shares what is read and written.
    if plan.quick and not seen[key] then answer = quick(key, plan) end
    seen[key] = true
    if not answer then
      tools = tools or thorough()
      answer = tools.check(number, key, plan)
    end
    out[number + 1] = answer
  end
end

while number < count do
  local done, failure = pcall(go)
  if not done then
    states[keys[number]] = nil
    out[number + 1] = reason(failure)
  end
end
for _, state in ipairs(order) do
  if states[state.key] == state then tools.finish(state) end
end
return table.concat(out)
