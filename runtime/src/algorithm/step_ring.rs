//! The ring of a [`StepWindow`](super::step_window::StepWindow), in which the first entry may be at any
//! place, and the entry after the last place's is at the first place.

use super::{QuotaCheck, Wait, state};
use crate::Quota;
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::{Reading, Verdict};

/// The lower bits of the time of an entry.
pub(super) trait StepBits: Copy + Default {
    fn of(instant: Timestamp) -> Self;

    /// Returns the microseconds from this entry to the newest one, which are less than a turn of the bits.
    fn distance(self, newest: Timestamp) -> u64;
}

impl StepBits for u32 {
    #[inline(always)]
    fn of(instant: Timestamp) -> Self {
        instant.micros() as Self
    }

    #[inline(always)]
    fn distance(self, newest: Timestamp) -> u64 {
        Self::of(newest).wrapping_sub(self).into()
    }
}

/// The lower 48 bits, of which a turn takes nine years.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LongStep([u16; 3]);

impl StepBits for LongStep {
    #[inline(always)]
    fn of(instant: Timestamp) -> Self {
        let micros = instant.micros();
        Self([micros as u16, (micros >> 16) as u16, (micros >> 32) as u16])
    }

    #[inline(always)]
    fn distance(self, newest: Timestamp) -> u64 {
        let [low, middle, high] = self.0.map(u64::from);
        newest.micros().wrapping_sub(low | middle << 16 | high << 32) & ((1 << 48) - 1)
    }
}

/// The ring of a window while it is read or changed.
pub(super) struct StepRing<'a, S> {
    pub(super) newest: Timestamp,
    /// The place of the oldest entry.
    pub(super) head: usize,
    pub(super) len: usize,
    pub(super) steps: &'a mut [S],
}

impl<S: StepBits> StepRing<'_, S> {
    /// Decides about a check. Returns `false`, and has decided nothing, if the check is to be charged and
    /// its charge has no place, or if the clock was set back. The ring stays in registers, so nothing that
    /// is called here takes a reference to it.
    #[inline(always)]
    pub(super) fn decide(
        &mut self,
        check: QuotaCheck<'_>,
        charges: bool,
        verdict: &mut Verdict,
    ) -> bool {
        let QuotaCheck { now, quota, cost } = check;
        if self.is_ahead_of(now) {
            return false;
        }
        self.remove_expired(now, quota);
        let mut wait = self.wait(check);
        let decided = wait;
        if charges && wait == Wait::None {
            if cost != 1 || self.len == self.steps.len() {
                return false;
            }
            self.push(now);
        }
        let reading = self.read(now, quota);
        if charges && decided == Wait::None && reading.lacks(cost) {
            // Another request of one unit waits until the oldest entry has left.
            wait = Wait::For(self.until_gone(0, now, quota));
        }
        verdict.restart(decided.into(), now.micros());
        verdict.push(state(check, decided, wait, reading));
        true
    }

    /// Removes the entries that are no longer in use. Moves those later than `now` to `now`, if the
    /// clock was set back.
    pub(super) fn advance(&mut self, now: Timestamp, quota: &Quota) {
        if self.is_ahead_of(now) {
            self.fold_future(now);
        }
        self.remove_expired(now, quota);
    }

    /// Returns `true` if the newest entry is later than `now`.
    #[inline(always)]
    fn is_ahead_of(&self, now: Timestamp) -> bool {
        self.len > 0 && now < self.newest
    }

    /// Removes the entries that are no longer in use at `now`, which must not be before the newest one.
    #[inline(always)]
    fn remove_expired(&mut self, now: Timestamp, quota: &Quota) {
        if self.len == 0 {
            return;
        }
        let (since, period) = ((now - self.newest).micros(), quota.period_micros());
        if since >= period {
            (self.head, self.len) = (0, 0);
            return;
        }
        // The newest entry is still in use, so this ends there at the latest.
        while self.distance(0) + since >= period {
            self.head = if self.head + 1 < self.steps.len() { self.head + 1 } else { 0 };
            self.len -= 1;
        }
    }

    #[cold]
    fn fold_future(&mut self, now: Timestamp) {
        let later = (self.newest - now).micros();
        let kept = (0..self.len).rev().find(|index| self.distance(*index) >= later);
        for index in kept.map_or(0, |kept| kept + 1)..self.len {
            self.steps[self.place(index)] = S::of(now);
        }
        self.newest = now;
    }

    #[inline(always)]
    pub(super) fn wait(&self, check: QuotaCheck<'_>) -> Wait {
        let QuotaCheck { now, quota, cost } = check;
        if cost == 0 {
            return Wait::None;
        }
        if cost > quota.capacity() {
            return Wait::Forever;
        }
        // The entries that have to leave before there is room for the cost.
        match (self.used() + cost).checked_sub(quota.limit()) {
            None | Some(0) => Wait::None,
            Some(leaving) => Wait::For(self.until_gone(leaving as usize - 1, now, quota)),
        }
    }

    #[inline(always)]
    fn read(&self, now: Timestamp, quota: &Quota) -> Reading {
        if self.len == 0 {
            return Reading::known(quota.limit(), TimeSpan::ZERO, TimeSpan::ZERO);
        }
        let reset_after = quota.period_span() - (now - self.newest);
        Reading::known(
            quota.limit() - self.used(),
            reset_after - TimeSpan::from_micros(self.distance(0)),
            reset_after,
        )
    }

    /// Returns the number of units in use, which fits because it is at most the resolution.
    #[inline(always)]
    pub(super) fn used(&self) -> u32 {
        self.len as u32
    }

    /// Adds an entry, for which there must be a place. It must not be older than the newest one.
    #[inline(always)]
    pub(super) fn push(&mut self, now: Timestamp) {
        let place = self.place(self.len);
        self.steps[place] = S::of(now);
        self.newest = now;
        self.len += 1;
    }

    /// Removes the oldest entry, of which there must be one.
    pub(super) fn forget_oldest(&mut self) {
        self.head = self.place(1);
        self.len -= 1;
    }

    pub(super) fn refund(&mut self, charged_at: Timestamp, units: usize) -> bool {
        let Some(earlier) = self.newest.checked_since(charged_at) else { return false };
        // The newest one is examined first, because most refunds are of a recent charge.
        let from_newest = (0..self.len).rev();
        let mut from_newest = from_newest.skip_while(|at| self.distance(*at) < earlier.micros());
        let Some(last) = from_newest.next() else { return false };
        let same = (0..=last).rev().take_while(|at| self.distance(*at) == earlier.micros());
        if units == 0 || same.count() < units {
            return false;
        }
        for index in last + 1..self.len {
            self.steps[self.place(index - units)] = self.steps[self.place(index)];
        }
        self.len -= units;
        if let Some(back) = self.len.checked_sub(1) {
            self.newest = self.time(back);
        }
        true
    }

    /// Returns the microseconds from the entry at `index` to the newest one.
    #[inline(always)]
    fn distance(&self, index: usize) -> u64 {
        self.steps[self.place(index)].distance(self.newest)
    }

    pub(super) fn time(&self, index: usize) -> Timestamp {
        self.newest - TimeSpan::from_micros(self.distance(index))
    }

    /// Returns the time until the entry at `index` is no longer in use.
    #[inline(always)]
    fn until_gone(&self, index: usize, now: Timestamp, quota: &Quota) -> TimeSpan {
        let since = (now - self.newest).micros() + self.distance(index);
        quota.period_span() - TimeSpan::from_micros(since)
    }

    /// Returns the place of the entry at `index`. The oldest entry has index 0.
    #[inline(always)]
    pub(super) fn place(&self, index: usize) -> usize {
        let place = self.head + index;
        if place < self.steps.len() { place } else { place - self.steps.len() }
    }
}
