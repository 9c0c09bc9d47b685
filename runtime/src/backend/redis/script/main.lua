-- Decides checks of many keys in one call. A key contains the state of one subject under one
-- policy, with all quotas of the policy. Times are whole microseconds. Every number stays below
-- 2^53, up to which Lua's numbers are exact. The rules are those of `runtime/src/algorithm`, in the
-- order of its trait `Counter`:
--
--   counter.lua, bucket.lua   arithmetic of sliding_window_counter.rs and gcra.rs
--   compact.lua               the algorithms whose state is a few numbers, and fast_compact.lua
--   log.lua, fast_log.lua     sliding_window.rs and log.rs
--   dispatch.lua              all four algorithms, and refunds
--   translation.lua           translation.rs, for state of another form of the policy
--
-- `script/text.rs` replaces each `include` line by the file that it names, and each name after
-- `constant` by its value, and removes the comments.
--
-- A call of one check spends most of its time on what is made anew for each call: a function, and
-- each variable that a function takes from outside. So constants are no variables, and functions
-- that only some checks need are made when they are needed.
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
-- the length and the text of the reason. The last checks of a call that causes much work are not
-- carried out. Their replies are one byte each, 253.

local floor, ceil, min, max, byte = math.floor, math.ceil, math.min, math.max, string.byte
local values, pack, unpack, sub, call = unpack, struct.pack, struct.unpack, string.sub, redis.call

-- The version of the stored state, and the number of bytes in it before the quotas.
constant VERSION = 3
constant HEADER = 12
-- The algorithms: sliding window, sliding window counter, fixed window, and the buckets.
constant LOG = 1
constant COUNTER = 2
constant FIXED = 3
constant BUCKET = 4
constant CHARGE = 0
constant PEEK = 1
constant RESET = 2
constant REFUND = 3
constant MAX_UNITS = 4294967295
constant MAX_TIME = 9007199254740992
constant MAX_PERIOD = 31622400000000
-- The largest limit under which each unit has an entry of its own in a log. Above it, as many
-- granules as this divide the period.
constant RESOLUTION = 1024
-- The values of the low 32 bits of a time.
constant STEPS = 4294967296
-- The mark in the stored number of entries of a log whose entries are (time, units).
constant WIDE = 32768
-- The rings of a value, in bytes, up to which it is written as a whole.
constant SMALL = 256
-- The longest step back of the clock, in microseconds, during which the time of a bucket's last
-- charge takes the place of the present time.
constant MAX_STEP_BACK = 100000
-- The work, by estimate in microseconds, after which a call carries out no more checks, because
-- nobody else is served meanwhile.
constant MAX_WORK = 1000

local virtual = ARGV[1] ~= ''
local now
if virtual then
  now = tonumber(ARGV[1])
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
-- The work that this call has caused, by estimate in microseconds.
local work = 0

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
include 'fast_log.lua'

local keys, plan_numbers = KEYS, ARGV[2]
local replies = { pack('<I8', now) }
-- The keys that were checked. Further checks of a key take the slow path, in which they share one
-- read and one write.
local seen = {}

-- Makes the functions for the algorithms whose state is a few numbers, and for the slow path.
local function build_compact()
  include 'counter.lua'
  include 'bucket.lua'
  include 'compact.lua'
  include 'fast_compact.lua'

  local function build_slow_path()
    include 'log.lua'
    include 'dispatch.lua'
    include 'codec.lua'
    include 'translation.lua'
    include 'check.lua'
    include 'failure.lua'
    return { check = check, recover = recover, finish_all = finish_all }
  end
  return fast_compact, build_slow_path
end

local fast_compact, build_slow_path, slow_path

local function get_slow_path()
  if not build_slow_path then fast_compact, build_slow_path = build_compact() end
  slow_path = slow_path or build_slow_path()
  return slow_path
end

local number, count = 0, #keys

-- Carries out the checks from `number` on, until one of them raises an error, or the call has caused
-- too much work.
local function run()
  while number < count and work < MAX_WORK do
    number, work = number + 1, work + 4
    local key = keys[number]
    local plan = plan_of(byte(plan_numbers, number))
    local reply, value
    if plan.is_fast and not seen[key] then
      if plan.family == LOG then
        reply, value = fast_log(key, plan)
      else
        if not fast_compact then fast_compact, build_slow_path = build_compact() end
        reply = fast_compact(key, plan)
      end
    end
    seen[key] = true
    replies[number + 1] = reply or get_slow_path().check(number, key, plan, value)
  end
end

while number < count and work < MAX_WORK do
  local done, failure = pcall(run)
  if not done then get_slow_path().recover(number, failure) end
end
replies[number + 2] = string.rep('\253', count - number)
if slow_path then slow_path.finish_all() end
return table.concat(replies)
