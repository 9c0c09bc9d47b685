-- Decides checks of many keys in one call. A key contains the state of one subject under one
-- policy, with all quotas of the policy. Times are whole microseconds. Every number stays below
-- 2^53, up to which Lua's numbers are exact. The rules are those of `runtime/src/algorithm`, in the
-- order of its trait `Counter`:
--
--   counter.lua, bucket.lua   arithmetic of sliding_window_counter.rs and gcra.rs
--   compact.lua               the three algorithms whose state is a few numbers
--   log.lua                   sliding_window.rs and log.rs
--   dispatch.lua              all four algorithms, and refunds
--   translation.lua           translation.rs, for state of another form of the policy
--
-- `script/text.rs` replaces each `include` line by the file that it names, and removes the
-- comments.
--
-- KEYS[i]  the key of the i-th check
-- ARGV[1]  the time, in tests; empty: the server's time
-- ARGV[2]  a byte for each check: the number of its plan
-- ARGV[3…] the plans: an action and the quotas, encoded by `Plan` in `script.rs`
--
-- The reply is one string, which costs a third of an array of integers. It contains the time, and
-- then for each check a count of numbers, its status and the raw state of each quota, from which
-- the library computes the remaining units. Numbers are unsigned, little-endian, 8 bytes; the count
-- is one byte. For a check that failed the count is 255, followed by the length and the text of the
-- error. If the value of a key could not be read and was replaced, its reply follows a byte 254, and
-- the length and the text of the reason.

local floor, ceil, min, max, byte = math.floor, math.ceil, math.min, math.max, string.byte
local values, pack, unpack, sub, call = unpack, struct.pack, struct.unpack, string.sub, redis.call

-- VERSION is the version of the stored state. HEADER is the number of bytes in it before the
-- quotas.
local VERSION, HEADER = 2, 12
local LOG, COUNTER, FIXED, BUCKET = 1, 2, 3, 4
local CHARGE, PEEK, RESET, REFUND = 0, 1, 2, 3
local MAX_UNITS = 4294967295
local MAX_TIME, MAX_PERIOD = 9007199254740992, 366 * 86400000000
-- The longest step back of the clock, in microseconds, during which the time of a bucket's last
-- charge takes the place of the present time.
local MAX_STEP_BACK = 100000

local virtual = ARGV[1] ~= ''
local now
if virtual then
  now = tonumber(ARGV[1])
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

include 'plan.lua'
include 'counter.lua'
include 'bucket.lua'
include 'compact.lua'

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

-- The format and the count of numbers of the reply to a check of one quota, by algorithm.
local REPLY_FORMAT = { [COUNTER] = '<BI8I8I8I8', [FIXED] = '<BI8I8I8I8', [BUCKET] = '<BI8I8I8' }
local REPLY_COUNT = { [COUNTER] = 4, [FIXED] = 4, [BUCKET] = 3 }

-- Charges a check of one quota, and returns the reply. It handles compact state that this release
-- has stored, and a key without state, which most checks find. For any other check it returns nil,
-- and then it has changed nothing. All checks share one table, `scratch`.
local scratch = {
  tat = 0, fraction = 0, start = 0, used = 0, opening = 0, current = 0, previous = 0,
}
local function fast_path(key, plan)
  local quota, family, part, a, b, c = plan[1], plan.family, scratch, 0, 0, 0
  local text = call('GET', key)
  if text then
    if #text ~= 44 or sub(text, 1, 4) ~= plan.header or sub(text, 13, 28) ~= plan.identity then
      return
    end
    local charged_at = unpack('<d', text, 5)
    a, b, c = unpack('<dI4I4', text, 29)
    if not (charged_at <= now and a <= charged_at + quota.full_span + 1 and b <= quota.limit)
      or a % 1 ~= 0 then return end
  end
  part.dirty, part.floor = nil, now
  set_numbers(family, part, a, b, c)
  advance_compact(family, part, quota)
  if not admits_compact(family, part, quota, plan.cost) then
    if part.dirty then return end
    return pack(REPLY_FORMAT[family], REPLY_COUNT[family], 0, raw_numbers(family, part))
  end
  charge_compact(family, part, quota, plan.cost)
  call('SET', key,
    plan.header .. pack('<d', now) .. plan.identity .. pack('<dI4I4', stored_numbers(family, part)),
    'PX', millis_until(compact_empty_at(family, part, quota)))
  return pack(REPLY_FORMAT[family], REPLY_COUNT[family], 1, raw_numbers(family, part))
end

local clock = now
local keys, plan_numbers = KEYS, ARGV[2]
local states, loaded, replies = {}, {}, { pack('<I8', now) }
-- The beginnings of the replies to checks whose key had a value that could not be read.
local replaced = {}

local function text_of(failure)
  return type(failure) == 'table' and failure.err or tostring(failure)
end

local function encode_text(mark, text)
  return pack('<BI4', mark, #text) .. text
end

local function encode_error(failure)
  return encode_text(255, text_of(failure))
end

-- The words in the errors of values that are not ours, or cut, or bent.
local UNREADABLE = { 'TOLLGATE', 'WRONGTYPE', 'too short', 'attempt to', 'bad argument' }

local function is_unreadable(text)
  for _, word in ipairs(UNREADABLE) do
    if string.find(text, word, 1, true) then return true end
  end
end

-- Builds the functions that only some checks need. Redis runs the full script anew for each call.
-- Outside of this function, some 25 closures would be created for each call, even if all its checks
-- take the fast path.
local function build_slow_path()
  include 'log.lua'
  include 'dispatch.lua'
  include 'codec.lua'
  include 'translation.lua'
  include 'check.lua'
  return { check = check, finish = finish, used_up = used_up }
end

local slow_path
local seen = {}
local number, count = 0, #keys

-- Carries out the checks from `number` on, until one of them raises an error.
local function run()
  while number < count do
    number = number + 1
    local key = keys[number]
    local plan = plan_of(byte(plan_numbers, number))
    local reply
    -- Further checks of a key take the slow path, in which they share one read and one write.
    if plan.is_fast and not seen[key] then reply = fast_path(key, plan) end
    seen[key] = true
    if not reply then
      slow_path = slow_path or build_slow_path()
      reply = slow_path.check(number, key, plan)
    end
    replies[number + 1] = (replaced[number] or '') .. reply
  end
end

while number < count do
  local done, failure = pcall(run)
  if not done then
    -- A translation computes at earlier times.
    now = clock
    local key, text = keys[number], text_of(failure)
    local state = states[key]
    local checks = state and state.checks or {}
    if checks[#checks] == number then checks[#checks] = nil end
    states[key] = nil
    if is_unreadable(text) and not replaced[number] then
      -- The check is carried out once more, on a state that is used up.
      replaced[number] = encode_text(254, text)
      slow_path = slow_path or build_slow_path()
      state = slow_path.used_up(key, plan_of(byte(plan_numbers, number)), checks)
      seen[key], states[key], loaded[#loaded + 1] = true, state, state
      number = number - 1
    else
      replies[number + 1] = encode_error(failure)
      for _, other in ipairs(checks) do replies[other + 1] = encode_error(failure) end
    end
  end
end
for _, state in ipairs(loaded) do
  if states[state.key] == state then slow_path.finish(state) end
end
return table.concat(replies)
