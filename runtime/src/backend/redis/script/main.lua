-- Decides checks of many keys in one call. A key contains the state of one subject under one
-- policy, with all quotas of the policy. Times are whole microseconds. Every number stays below
-- 2^53, up to which Lua's numbers are exact. The rules are those of `runtime/src/algorithm`, in the
-- order of its trait `Counter`:
--
--   counter.lua, bucket.lua   arithmetic of sliding_window_counter.rs and gcra.rs
--   compact.lua               the algorithms whose state is a few numbers
--   log.lua                   sliding_window.rs and log.rs
--   dispatch.lua              all four algorithms, refunds, and debts
--   calendar.lua              the windows of calendars
--   debt.lua                  the debt of a fixed window, and the debts of the others
--   ban.lua                   ban_record.rs
--   permits.lua               in_flight.rs
--   translation.lua           translation.rs, for state of another form of the policy
--
-- `script/text.rs` replaces each `include` line by the file that it names, and each name after
-- `constant` by its value, and removes the comments.
--
-- A call of one check spends most of its time on what is made anew for each call: a function, each
-- variable that a function takes from outside, and a table. So constants are no variables, functions
-- are made when a check needs them, and the checks that nearly all calls consist of need none: these
-- are the `fast_….lua`, pieces of the loop at the end of this file. Each handles the charges of one
-- quota to a value as the charge before has left it, and leaves `reply` empty for any other check,
-- before it has changed anything. Their calls give an error as a value, so that they need not be
-- called by `pcall`, which would need a function.
--
-- KEYS[i]  the key of the i-th check; if a check takes or reports permits, as many keys follow, of
--          the permits of each
-- ARGV[1]  the time, in tests; empty: the server's time
-- ARGV[2]  a byte for each check: the number of its plan
-- ARGV[3…] the plans: an action and the quotas, encoded by `Plan` in `script.rs`
--
-- The reply is one string, which costs a third of an array of integers. It contains the time, and
-- then for each check a count of numbers, its status and the raw state of each quota, from which
-- the library computes the remaining units. Numbers are unsigned, little-endian, 8 bytes; the count
-- is one byte. For a check that failed the count is 255, followed by the length and the text of the
-- error. If the subject is banned, the time left follows the status. If the value of a key could not
-- be read and was replaced, its reply follows a byte 254, and the length and the text of the reason.
-- If windows of calendars are missing, the check has not been carried out, and its reply is a byte
-- 252, and the length and the list of what is missing.
-- The last checks of a call that causes much work are not carried out. Their replies are one byte
-- each, 253.

local values, call, try_call = unpack, redis.call, redis.pcall
local pack, unpack, sub, byte = struct.pack, struct.unpack, string.sub, string.byte
local floor, ceil = math.floor, math.ceil

-- The version of the stored state, and the number of bytes in it before the quotas.
constant VERSION = 3
constant HEADER = 12
-- The bytes of a process's entry among the permits of a subject.
constant HOLDER = 44
-- The algorithms: sliding window, sliding window counter, fixed window, and the buckets.
constant LOG = 1
constant COUNTER = 2
constant FIXED = 3
constant BUCKET = 4
-- The sliding window in the forms in which a small log of one quota is stored, as `codec.lua` says.
constant SHORT_STEPS = 5
constant SHORT_WIDE = 6
-- The first four bytes of stored states of one quota, as numbers: the short forms, the log in its
-- long form, and the bucket.
constant STEPS_HEADER = 66819
constant WIDE_HEADER = 67075
constant LOG_HEADER = 65795
constant BUCKET_HEADER = 66563
constant CHARGE = 0
constant PEEK = 1
constant RESET = 2
constant REFUND = 3
constant SETTLE = 4
constant BAN = 5
constant UNBAN = 6
-- A charge under a policy with a ban, and a refund that forgives.
constant COUNTED_CHARGE = 7
constant FORGIVE = 8
-- A process reports the permits that it holds. Other actions take one if this is added to them.
constant REPORT = 9
constant WITH_PERMIT = 16
-- The bytes that a plan has about permits.
constant PERMIT = 44
-- The kinds of a window that is missing: that of an instant, or the one with a number.
constant OF_INSTANT = 1
constant OF_NUMBER = 2
constant MAX_UNITS = 4294967295
constant MAX_TIME = 9007199254740992
constant MAX_PERIOD = 31622400000000
-- Ten years: the longest time that a bucket or a fixed window takes to work off a debt.
constant MAX_FILL = 316224000000000
-- The most by which a window of a calendar is longer than its period.
constant MAX_MORE = 86400000000
-- The bit of a status that tells of a ban. The time left is the next number.
constant BANNED = 281474976710656
-- In the status: the time until the state of another form is forgotten follows.
constant FORGETS = 562949953421312
-- What is added to the units of a fixed window in a reply, if the units that it owes follow.
constant OWES = 4294967296
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
constant MAX_WORK = 450

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
local keys, plan_numbers, plans = KEYS, ARGV[2], ARGV
local replies = { pack('<I8', now) }
-- The keys that were checked. Further checks of a key take the slow path, in which they share one
-- read and one write.
local seen = {}
local slow_path

-- Carries out a check that is no fast one; nil until a check needs it.
local check_slowly
local number, count = 0, #plan_numbers
-- The plan of the last check, by its number: the algorithm if a check by it can be a fast one, and
-- otherwise 0; its quota; and the beginning and the expiry of the value that an admission stores.
local current, family, cost, limit, capacity, period, full_span, cost_span, cost_fraction
local usable_span, usable_fraction, is_wide, granule, beginning, expiry

while number < count and work < MAX_WORK do
  number, work = number + 1, work + 3
  local key, index = keys[number], byte(plan_numbers, number)
  if index ~= current then
    include 'fast_plan.lua'
  end
  -- The beginning of the key's value, if it is known; and the error of a write.
  local reply, value, failure
  if family ~= 0 and not seen[key] then
    -- A `break` leaves this block, and so the check to the slow path.
    repeat
      if family == BUCKET then
        include 'fast_bucket.lua'
      elseif family == LOG then
        value = try_call('GETRANGE', key, '0', '399')
        if #value == 400 then
          include 'fast_ring.lua'
        elseif is_wide then
          include 'fast_wide.lua'
        else
          include 'fast_steps.lua'
        end
      end
    until true
  end
  if not reply then
    if not check_slowly then
      include 'slow.lua'
    end
    reply = check_slowly(number, key, value, failure)
  end
  if count > 1 then seen[key] = true end
  replies[number + 1] = reply
end
if number < count then replies[number + 2] = string.rep('\253', count - number) end
if slow_path then slow_path.finish_all() end
return table.concat(replies)
