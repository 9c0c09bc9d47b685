//! The sliding window log of most subjects: entries of one unit, whose times need 32 or 48 bits each.
//!
//! A store contains very many logs, and with many keys a check mostly waits for memory. So this
//! state is small enough for the cache line that has the subject's key in it, and its first entries
//! need no memory of their own. It is the state of a [`SlidingWindow`] without granules, as long as all
//! charges are of one unit and the quota stays the same. For anything else it is
//! [expanded](StepWindow::expand) to that.
//!
//! The newest entry has its whole time. Of each entry's time the lower bits are stored, its step: 32 for
//! periods of up to 71 minutes, else 48. All entries lie within one period up to the newest, which is less
//! than one turn of these bits. So the distance of an entry from the newest one is exact.

use super::in_use::InUse;
use super::mode::Mode;
use super::sliding_window::{RESOLUTION, SlidingWindow};
use super::step_ring::{LongStep, StepBits, StepRing};
use super::{LAST_INSTANT, QuotaCheck, Settlement};
use crate::micros::Timestamp;
use crate::verdict::Verdict;
use crate::{Check, Quota};

/// The number of entries that need no memory of their own, with steps of either length.
const INLINE: usize = 7;
const INLINE_LONG: usize = 4;

/// A ring of entries. Times are stored as two words, so that they do not have to be aligned to eight
/// bytes: a slot has none to spare.
#[derive(Clone, Debug)]
pub(crate) enum StepWindow {
    Inline { head: u8, len: u8, newest: [u32; 2], steps: [u32; INLINE] },
    Heap { head: u16, len: u16, newest: [u32; 2], steps: Box<[u32]> },
    InlineLong { head: u8, len: u8, newest: [u32; 2], steps: [LongStep; INLINE_LONG] },
    HeapLong { head: u16, len: u16, newest: [u32; 2], steps: Box<[LongStep]> },
}

impl Default for StepWindow {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Evaluates `$call` with the window's ring as `$ring`, and stores what has changed of it. It is
/// evaluated for each variant by itself, so that the compiler knows the number of the inline places.
macro_rules! with_ring {
    ($window:expr, $ring:ident => $call:expr) => {
        match $window {
            StepWindow::Inline { head, len, newest, steps } => {
                with_ring!(head, len, newest, steps, u8, $ring => $call)
            }
            StepWindow::Heap { head, len, newest, steps } => {
                with_ring!(head, len, newest, steps, u16, $ring => $call)
            }
            StepWindow::InlineLong { head, len, newest, steps } => {
                with_ring!(head, len, newest, steps, u8, $ring => $call)
            }
            StepWindow::HeapLong { head, len, newest, steps } => {
                with_ring!(head, len, newest, steps, u16, $ring => $call)
            }
        }
    };
    (
        $head:ident, $len:ident, $newest:ident, $steps:ident, $number:ty, $ring:ident => $call:expr
    ) => {{
        let (head, len) = ((*$head).into(), (*$len).into());
        let $ring = &mut StepRing { newest: joined(*$newest), head, len, steps: &mut $steps[..] };
        let result = $call;
        // Both are at most the number of places, which fits.
        (*$head, *$len) = ($ring.head as $number, $ring.len as $number);
        *$newest = parted($ring.newest);
        result
    }};
}

impl StepWindow {
    pub(crate) const EMPTY: Self =
        Self::Inline { head: 0, len: 0, newest: [0; 2], steps: [0; INLINE] };

    /// Creates the window of a quota, without entries.
    fn new(quota: &Quota) -> Self {
        if is_short(quota) {
            return Self::EMPTY;
        }
        let steps = [LongStep::default(); INLINE_LONG];
        Self::InlineLong { head: 0, len: 0, newest: [0; 2], steps }
    }

    /// Returns `true` if the log of a quota can be stored like this.
    pub(super) fn serves(quota: &Quota) -> bool {
        u64::from(quota.limit()) <= RESOLUTION && quota.capacity() == quota.limit()
    }

    /// Stores the log of a quota like this; `None` if that is not possible.
    pub(super) fn of(log: &SlidingWindow, quota: &Quota) -> Option<Self> {
        if !Self::serves(quota) || !log.has_only_units(quota) {
            return None;
        }
        let mut window = Self::new(quota);
        window.reserve(log.len());
        for at in log.times() {
            with_ring!(&mut window, ring => ring.push(at));
        }
        Some(window)
    }

    /// Returns the same log in the form that can store anything.
    pub(super) fn expand(mut self) -> SlidingWindow {
        with_ring!(&mut self, ring => {
            SlidingWindow::of_units((0..ring.len).map(|index| ring.time(index)))
        })
    }

    /// Decides about a check under a policy with this window's quota alone. Returns `false`, and has
    /// decided nothing, if the check is to be charged and the window has no place for that, or if the clock
    /// was set back, after which [`step_back`](Self::step_back) has to be called.
    #[inline(always)]
    pub(crate) fn decide(
        &mut self,
        check: &Check<'_>,
        now: Timestamp,
        mode: Mode,
        verdict: &mut Verdict,
    ) -> bool {
        let Some(quota) = check.policy.only_quota() else { return false };
        let (now, cost) = (now.min(LAST_INSTANT), check.cost);
        let check = QuotaCheck { now, quota, cost };
        let charges = mode == Mode::Charge && cost > 0;
        if self.is_long() {
            return self.decide_long(check, charges, verdict);
        }
        with_ring!(self, ring => ring.decide(check, charges, verdict))
    }

    /// Decides with long steps, apart from the others so that neither lacks registers.
    #[inline(never)]
    fn decide_long(&mut self, check: QuotaCheck<'_>, charges: bool, verdict: &mut Verdict) -> bool {
        with_ring!(self, ring => ring.decide(check, charges, verdict))
    }

    #[inline(always)]
    fn is_long(&self) -> bool {
        matches!(self, Self::InlineLong { .. } | Self::HeapLong { .. })
    }

    /// Moves the entries that are later than `now` to `now`.
    #[cold]
    pub(crate) fn step_back(&mut self, now: Timestamp, quota: &Quota) {
        with_ring!(self, ring => ring.advance(now.min(LAST_INSTANT), quota));
    }

    /// Makes room for one more entry of a quota. Returns `false` if it cannot, because it has as many
    /// as its limit allows.
    #[cold]
    pub(crate) fn grow(&mut self, quota: &Quota) -> bool {
        let (places, room) = match self {
            Self::Inline { .. } => (INLINE, room::<u32>(INLINE + 1)),
            Self::Heap { steps, .. } => (steps.len(), room::<u32>(steps.len() + 1)),
            Self::InlineLong { .. } => (INLINE_LONG, room::<LongStep>(INLINE_LONG + 1)),
            Self::HeapLong { steps, .. } => (steps.len(), room::<LongStep>(steps.len() + 1)),
        };
        // The limit is at most the resolution.
        let more = room.min(quota.limit() as usize);
        if more <= places {
            return false;
        }
        self.reserve(more);
        true
    }

    /// Moves the entries to a ring of `places` places, if there are not as many.
    fn reserve(&mut self, places: usize) {
        let (len, newest) = with_ring!(self, ring => (ring.len, parted(ring.newest)));
        // There are at most as many entries as the resolution, which fits.
        let (head, len) = (0, len as u16);
        *self = match self {
            Self::Inline { head: first, steps, .. } if places > INLINE => {
                Self::Heap { head, len, newest, steps: moved(steps, (*first).into(), places) }
            }
            Self::Heap { head: first, steps, .. } if places > steps.len() => {
                Self::Heap { head, len, newest, steps: moved(steps, (*first).into(), places) }
            }
            Self::InlineLong { head: first, steps, .. } if places > INLINE_LONG => {
                Self::HeapLong { head, len, newest, steps: moved(steps, (*first).into(), places) }
            }
            Self::HeapLong { head: first, steps, .. } if places > steps.len() => {
                Self::HeapLong { head, len, newest, steps: moved(steps, (*first).into(), places) }
            }
            _ => return,
        };
    }

    /// Charges one unit that another store has admitted. If the quota cannot admit it, the oldest unit
    /// is forgotten for it. Returns `false`, and has done nothing, if the window has no place for it.
    pub(crate) fn record(&mut self, now: Timestamp, quota: &Quota) -> bool {
        let now = now.min(LAST_INSTANT);
        with_ring!(self, ring => {
            ring.advance(now, quota);
            if ring.used() >= quota.limit() {
                ring.forget_oldest();
            }
            let has_place = ring.len < ring.steps.len();
            if has_place {
                ring.push(now);
            }
            has_place
        })
    }

    /// Gives back what is too much of a charge that this quota has admitted. Returns `true` if
    /// anything was given back; otherwise the state is unchanged.
    pub(crate) fn refund(&mut self, quota: &Quota, refund: Settlement) -> bool {
        let now = refund.now.min(LAST_INSTANT);
        with_ring!(self, ring => {
            ring.advance(now, quota);
            ring.refund(refund.charged_at, refund.back() as usize)
        })
    }

    /// Returns the time from which on no units are in use.
    pub(crate) fn empty_at(&self, quota: &Quota) -> Timestamp {
        let (newest, is_empty) = match self {
            Self::Inline { newest, len, .. } => (newest, *len == 0),
            Self::InlineLong { newest, len, .. } => (newest, *len == 0),
            Self::Heap { newest, len, .. } => (newest, *len == 0),
            Self::HeapLong { newest, len, .. } => (newest, *len == 0),
        };
        if is_empty { Timestamp::EPOCH } else { joined(*newest) + quota.period_span() }
    }

    /// Returns the units in use. `waiting` is the smallest cost that counts as waiting.
    pub(crate) fn usage(&mut self, now: Timestamp, quota: &Quota, waiting: u32) -> InUse {
        let check = QuotaCheck { now: now.min(LAST_INSTANT), quota, cost: waiting };
        with_ring!(self, ring => {
            ring.advance(check.now, quota);
            InUse::of(ring.used(), quota, ring.wait(check))
        })
    }
}

/// Returns `true` if the lower 32 bits of the times suffice.
fn is_short(quota: &Quota) -> bool {
    quota.period_micros() <= u64::from(u32::MAX)
}

/// Returns a ring of `places` places that begins with the places from the one at `first` on.
fn moved<S: StepBits>(steps: &[S], first: usize, places: usize) -> Box<[S]> {
    let (second, first) = steps.split_at(first);
    let mut moved = [first, second].concat();
    moved.resize(places, S::default());
    moved.into()
}

/// Returns the number of places, at least `count`, that fill an allocation of a power of two. The
/// allocator's own data take eight bytes of it.
fn room<S>(count: usize) -> usize {
    const OVERHEAD: usize = 8;
    let bytes = (OVERHEAD + count * size_of::<S>()).next_power_of_two().max(64);
    (bytes - OVERHEAD) / size_of::<S>()
}

#[inline(always)]
fn joined([low, high]: [u32; 2]) -> Timestamp {
    Timestamp::from_micros(u64::from(low) | u64::from(high) << u32::BITS)
}

#[inline(always)]
fn parted(instant: Timestamp) -> [u32; 2] {
    [instant.micros() as u32, (instant.micros() >> u32::BITS) as u32]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::Counters;
    use super::*;
    use crate::{Policy, Settled};

    /// What happens to a subject: an operation, the time before it, and a number for the operation.
    type Event = (u8, u64, usize);

    /// A short period, an ordinary one, the longest with short steps, and the ends of the others.
    const PERIODS: [u64; 5] =
        [2_000, 60_000_000, u32::MAX as u64, 1 << 32, Quota::MAX_PERIOD_MICROS];

    fn policy(limit: u32, period: u64) -> Policy {
        Policy::new("policy", Quota::new(limit, Duration::from_micros(period)))
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        // Times are in thousandths of the period.
        let pause = prop_oneof![6 => 0_u64..20, 2 => 0_u64..200, 1 => 900_u64..1_100];
        let operation = prop_oneof![8 => Just(0_u8), 1 => 1_u8..7];
        prop::collection::vec((operation, pause, 0_usize..60), 0..300)
    }

    /// A window in both forms.
    struct Both {
        steps: StepWindow,
        counters: Counters,
        policy: Policy,
        /// The times of the charges that were admitted.
        charged: Vec<Timestamp>,
    }

    impl Both {
        fn decide(&mut self, mode: Mode, cost: u32, now: Timestamp) -> Result<(), TestCaseError> {
            let check = Check::new(&self.policy, "subject", cost);
            let [mut one, mut other] = [Verdict::open(), Verdict::open()];
            self.counters.decide(&check, now, mode, &mut one);
            let quota = self.policy.quotas()[0];
            if !self.steps.decide(&check, now, mode, &mut other) {
                self.steps.step_back(now, &quota);
                if !self.steps.decide(&check, now, mode, &mut other) {
                    prop_assert!(self.steps.grow(&quota));
                    prop_assert!(self.steps.decide(&check, now, mode, &mut other));
                }
            }
            prop_assert_eq!(&one, &other);
            if one.is_allowed() && mode == Mode::Charge {
                self.charged.push(now);
            }
            Ok(())
        }

        fn step(&mut self, (event, _, number): Event, now: Timestamp) -> Result<(), TestCaseError> {
            let quota = self.policy.quotas()[0];
            match event {
                1 => self.decide(Mode::Peek, number as u32, now)?,
                2 | 3 if !self.charged.is_empty() => {
                    // Most refunds are of one of the last charges.
                    let back = number % self.charged.len().min(if event == 2 { 3 } else { 60 });
                    let at = self.charged.len() - 1 - back;
                    let charged_at = self.charged.remove(at);
                    let settlement = Settlement { now, charged_at, cost: 1, actual: 0 };
                    let settled = self.counters.settle(&self.policy, &self.policy, settlement);
                    let is_back = self.steps.refund(&quota, settlement);
                    prop_assert_eq!(settled == Settled::Refunded, is_back);
                }
                4 => {
                    self.counters.record(&self.policy, now, 1);
                    if !self.steps.record(now, &quota) {
                        prop_assert!(self.steps.grow(&quota) && self.steps.record(now, &quota));
                    }
                }
                5 => {
                    let steps = std::mem::take(&mut self.steps);
                    self.steps = Counters::of_steps(steps).to_steps(&self.policy).unwrap();
                }
                _ => self.decide(Mode::Charge, 1, now)?,
            }
            // A look at the usage removes what has expired, so it is of copies.
            let (mut counters, mut steps) = (self.counters.clone(), self.steps.clone());
            let waiting = 1 + number as u32 % quota.limit();
            let usage = counters.usage(&self.policy, now, waiting);
            prop_assert_eq!(steps.usage(now, &quota, waiting), usage);
            prop_assert_eq!(self.steps.empty_at(&quota), self.counters.empty_at(&self.policy));
            Ok(())
        }
    }

    proptest! {
        /// Both forms of a log say the same, whatever happens, and also when the clock steps back.
        #[test]
        fn it_is_the_log(
            limit in prop::sample::select(&[1_u32, 3, 7, 8, 20, 100, 1_024]),
            period in prop::sample::select(&PERIODS),
            start in prop::sample::select(&[1_u64 << 48, (1 << 52) - 77]),
            events in events(),
        ) {
            let policy = policy(limit, period);
            let steps = StepWindow::new(&policy.quotas()[0]);
            let counters = Counters::new(&policy);
            let mut both = Both { steps, counters, policy, charged: Vec::new() };
            let mut now = start;
            for event in events {
                let pause = event.1 * period / 1_000 + event.2 as u64 % 3;
                now = if event.0 == 6 { now - pause } else { now + pause };
                both.step(event, Timestamp::from_micros(now))?;
            }
        }
    }

    #[test]
    fn what_does_not_fit_stays_in_the_other_form() {
        let now = Timestamp::from_micros(1 << 40);
        let stored = |policy: &Policy, costs: &[u32]| {
            let mut counters = Counters::new(policy);
            for cost in costs {
                let check = Check::new(policy, "subject", *cost);
                counters.decide(&check, now, Mode::Charge, &mut Verdict::open());
            }
            counters.to_steps(policy).is_some()
        };
        assert!(stored(&policy(1_024, PERIODS[2]), &[]));
        assert!(stored(&policy(1_024, PERIODS[2]), &[1, 1]));
        assert!(!stored(&policy(1_024, PERIODS[2]), &[1, 2]));
        assert!(!stored(&policy(1_025, PERIODS[2]), &[]));
        assert!(stored(&policy(1_024, PERIODS[4]), &[1]));
        let several = policy(10, 1_000).and(Quota::new(20, Duration::from_secs(1)));
        assert!(!stored(&several, &[]));
    }

    #[test]
    fn rings_fill_allocations_and_end_at_the_limit() {
        let now = Timestamp::from_micros(1 << 40);
        let places = |limit: u32, period: u64| {
            let policy = policy(limit, period);
            let mut steps = StepWindow::new(&policy.quotas()[0]);
            let mut places = Vec::new();
            while steps.grow(&policy.quotas()[0]) {
                places.push(with_ring!(&mut steps, ring => ring.steps.len()));
            }
            let check = Check::new(&policy, "subject", 1);
            (0..limit).for_each(|_| {
                assert!(steps.decide(&check, now, Mode::Charge, &mut Verdict::open()));
            });
            places
        };
        assert_eq!(places(7, 60_000_000), [0; 0]);
        assert_eq!(places(12, 60_000_000), [12]);
        assert_eq!(places(100, 60_000_000), [14, 30, 62, 100]);
        assert_eq!(places(1_024, 60_000_000), [14, 30, 62, 126, 254, 510, 1_022, 1_024]);
        assert_eq!(places(4, PERIODS[3]), [0; 0]);
        assert_eq!(places(1_024, PERIODS[3]), [9, 20, 41, 84, 169, 340, 681, 1_024]);
    }
}
