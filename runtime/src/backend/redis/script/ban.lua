-- The record of a subject's refusals and bans. Its fields are those of ban_record.rs; `ends` is the
-- end of the last ban.

local function new_ban()
  return {
    ends = 0, bans = 0, forgotten_at = 0, refusals = 0, counted_until = 0, changed_at = now,
  }
end

-- Returns the time by which the clock was set back since the last change; 0 if that is short.
local function set_back_by(ban)
  local back = ban.changed_at - now
  return back > MAX_STEP_BACK and back or 0
end

-- Returns the time until the ban in force ends; 0 if there is none.
local function ban_left(ban)
  return ban and max(ban.ends - set_back_by(ban) - now, 0) or 0
end

-- Moves the record back with the clock.
local function follow_clock(ban)
  local back = set_back_by(ban)
  ban.ends, ban.forgotten_at = max(ban.ends - back, 0), max(ban.forgotten_at - back, 0)
  ban.counted_until, ban.changed_at = max(ban.counted_until - back, 0), now
end

-- Counts a refusal, and begins a ban if it is the one that is too much.
local function count_refusal(ban, rule)
  follow_clock(ban)
  if ban.refusals == 0 or ban.counted_until <= now then
    ban.refusals, ban.counted_until = 0, now + rule.window
  end
  ban.refusals = ban.refusals + 1
  if ban.refusals < rule.after then return end
  local earlier, length = ban.forgotten_at > now and ban.bans or 0, rule.first
  if rule.grow > 1 then
    for _ = 1, earlier do
      if length >= rule.most then break end
      length = length * rule.grow
    end
  end
  ban.ends = now + min(length, rule.most)
  ban.bans, ban.forgotten_at = min(earlier + 1, MAX_UNITS), ban.ends + rule.most
  ban.refusals, ban.counted_until = 0, 0
end

local function ban_for(ban, span)
  follow_clock(ban)
  ban.ends = max(ban.ends, now + span)
end

-- Returns the record without refusals and earlier bans; nil if nothing is left.
local function forgiven(ban)
  local left = ban_left(ban)
  if left == 0 then return end
  ban = new_ban()
  ban.ends = now + left
  return ban
end

-- Returns the time from which on the record is that of a subject that was never refused.
local function ban_empty_at(ban)
  return max(ban.ends, ban.refusals > 0 and ban.counted_until or 0,
    ban.bans > 0 and ban.forgotten_at or 0)
end
