//! The record of a subject's refusals and bans under one policy. It belongs to the subject, not to a
//! quota, so it stays as it is when the policy changes its form.

use super::MAX_STEP_BACK;
use crate::micros::{TimeSpan, Timestamp};
use crate::{Ban, Quota};

/// The refusals that are counted for the next ban, the ban in force, and the number of the bans
/// before. The default is the record of a subject that was never refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BanRecord {
    /// The end of the last ban.
    until: Timestamp,
    /// The number of bans that the next one takes into account.
    bans: u32,
    /// The time from which on those bans are forgotten.
    forgotten_at: Timestamp,
    /// The number of refusals in the window that ends at `counted_until`.
    refusals: u32,
    counted_until: Timestamp,
    /// The time of the last change.
    changed_at: Timestamp,
}

impl BanRecord {
    /// Returns the time until the ban in force ends; `None` if there is none.
    pub(super) fn left(&self, now: Timestamp) -> Option<TimeSpan> {
        self.at(now).until.checked_since(now).filter(|span| !span.is_zero())
    }

    /// Counts a refusal by these quotas. Begins a ban if it is the one that is too much. Must not be
    /// called during a ban, since refusals within it change nothing.
    pub(super) fn refuse(&mut self, ban: Ban, quotas: &[Quota], now: Timestamp) {
        *self = self.at(now);
        if self.refusals == 0 || self.counted_until <= now {
            let longest = quotas.iter().map(Quota::period_micros).max();
            let window = TimeSpan::from_micros(longest.unwrap_or_default());
            self.refusals = 0;
            self.counted_until = now.saturating_add(window);
        }
        self.refusals += 1;
        if self.refusals >= ban.after() {
            let earlier = if self.forgotten_at <= now { 0 } else { self.bans };
            self.until = now.saturating_add(ban.length(earlier));
            self.bans = earlier.saturating_add(1);
            self.forgotten_at = self.until.saturating_add(ban.longest_span());
            self.refusals = 0;
            self.counted_until = Timestamp::EPOCH;
        }
        self.changed_at = now;
    }

    /// Bans the subject for `span`, unless a ban is in force that ends later. The history of bans
    /// does not change.
    pub(super) fn ban(&mut self, now: Timestamp, span: TimeSpan) {
        *self = self.at(now);
        self.until = self.until.max(now.saturating_add(span));
        self.changed_at = now;
    }

    /// Ends the ban in force. Returns `true` if there was one. Earlier refusals and bans still count.
    pub(super) fn lift(&mut self, now: Timestamp) -> bool {
        let was_banned = self.left(now).is_some();
        self.until = Timestamp::EPOCH;
        was_banned
    }

    /// Forgets the refusals and the bans before the one in force.
    pub(super) fn forgive(&mut self, now: Timestamp) {
        let left = self.left(now);
        *self = Self::default();
        if let Some(span) = left {
            self.ban(now, span);
        }
    }

    /// Returns the time from which on the record is that of a subject that was never refused.
    pub(super) fn empty_at(&self) -> Timestamp {
        let counted_until = if self.refusals > 0 { self.counted_until } else { Timestamp::EPOCH };
        let forgotten_at = if self.bans > 0 { self.forgotten_at } else { Timestamp::EPOCH };
        self.until.max(counted_until).max(forgotten_at)
    }

    /// Moves all times of the record back with the clock, if it was set back.
    pub(super) fn step_back(&mut self, now: Timestamp) {
        *self = self.at(now);
    }

    /// Returns the record as it is at `now`, which differs only after the clock was set back by more
    /// than [`MAX_STEP_BACK`]. Then all its times move back with the clock, so that no ban lasts
    /// longer than it should.
    fn at(&self, now: Timestamp) -> Self {
        let back = self.changed_at.saturating_since(now);
        if back <= MAX_STEP_BACK {
            return *self;
        }
        let moved = |instant: Timestamp| {
            Timestamp::from_micros(instant.micros().saturating_sub(back.micros()))
        };
        Self {
            until: moved(self.until),
            forgotten_at: moved(self.forgotten_at),
            counted_until: moved(self.counted_until),
            changed_at: now,
            ..*self
        }
    }
}
