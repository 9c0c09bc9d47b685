//! The slot of a bucket: the state of one subject under one policy, of which a cache line has two.

use super::key::SlotKey;
use super::slot::Charged;
use super::sought_key::is_half;
use super::table::Keyed;
use crate::algorithm::{Counters, InUse, PackedBucket};
use crate::micros::Timestamp;
use crate::verdict::Verdict;
use crate::{Check, Outcome, Policy};

/// The state of one subject under a policy with one quota and a bucket, as nearly all such subjects have
/// it: no ban, no debt of years, no cost above 1 that is being refused. Any other is in a
/// [`Slot`](super::slot::Slot).
#[repr(align(32))]
pub(super) struct HalfSlot {
    key: SlotKey,
    /// The first word of the bucket, whose lower bits are the number of the policy.
    first: u64,
    /// The second word of the bucket, and the bit [`REFUSED`].
    second: u64,
}

const _: () = assert!(size_of::<HalfSlot>() == 32);

/// The number of bits of a policy's number.
const FORM_BITS: u32 = PackedBucket::FREE_BITS;
/// The bit that is set if a request of cost 1 was refused since one was last admitted.
const REFUSED: u64 = 1 << 63;

impl Keyed for HalfSlot {
    const NONE: Self = Self { key: SlotKey::NONE, first: 0, second: 0 };

    #[inline(always)]
    fn key(&self) -> SlotKey {
        self.key
    }

    #[inline(always)]
    fn form(&self) -> u16 {
        // Only the lowest 12 bits are left, which fit.
        (self.first & ((1 << FORM_BITS) - 1)) as u16
    }
}

impl HalfSlot {
    /// Creates the slot of a key, whose policy has the number `form`; `None` if the state does not fit.
    pub(super) fn new(
        (key, form): (SlotKey, u16),
        refused: u32,
        counters: &Counters,
        policy: &Policy,
    ) -> Option<Self> {
        if !is_half(policy) || form >> FORM_BITS != 0 || refused > 1 {
            return None;
        }
        let bucket = counters.bucket()?.packed()?;
        let mut slot =
            Self { key, first: form.into(), second: if refused > 0 { REFUSED } else { 0 } };
        slot.set(bucket);
        Some(slot)
    }

    #[inline(always)]
    fn packed(&self) -> PackedBucket {
        PackedBucket::from_words([self.first >> FORM_BITS, self.second & !REFUSED])
    }

    #[inline(always)]
    fn set(&mut self, bucket: PackedBucket) {
        let [first, second] = bucket.words();
        self.first = first << FORM_BITS | u64::from(self.form());
        self.second = second | (self.second & REFUSED);
    }

    /// Decides about a check under a policy that is kept like this slot's own, and charges it if it is
    /// admitted. If the result does not fit, nothing has changed.
    #[inline(always)]
    pub(super) fn charge(
        &mut self,
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> Charged {
        let mut bucket = self.packed().unpacked();
        match bucket.charge_usual(check, now, verdict) {
            Some(true) => {
                let Some(bucket) = bucket.packed() else { return Charged::Unfit };
                // A charge is of at least the cost that was refused.
                self.second = 0;
                self.set(bucket);
                Charged::Decided
            }
            Some(false) => self.note_refusal(check),
            None => self.charge_otherwise(check, now, verdict),
        }
    }

    /// Does the same as [`charge`](Self::charge) in any case.
    #[cold]
    fn charge_otherwise(
        &mut self,
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> Charged {
        let mut bucket = self.packed().unpacked();
        bucket.decide_check(check, now, verdict);
        let Some(bucket) = bucket.packed() else { return Charged::Unfit };
        let charged = self.note(check, verdict);
        if charged != Charged::Unfit {
            self.set(bucket);
        }
        charged
    }

    /// Notes the outcome of a charge, by which an eviction knows which keys refuse requests. If it does
    /// not fit, nothing has changed.
    pub(super) fn note(&mut self, check: &Check<'_>, verdict: &Verdict) -> Charged {
        match verdict.outcome() {
            Outcome::Allowed if check.cost > 0 => self.second &= !REFUSED,
            Outcome::Refused { .. } => return self.note_refusal(check),
            _ => {}
        }
        Charged::Decided
    }

    #[inline(always)]
    fn note_refusal(&mut self, check: &Check<'_>) -> Charged {
        if check.cost > 1 {
            return Charged::Unfit;
        }
        self.second |= REFUSED;
        if check.policy.counted_ban().is_some() { Charged::Counted } else { Charged::Decided }
    }

    /// Returns the state in the form that can hold anything, and the smallest cost that was refused.
    pub(super) fn counters(&self) -> (Counters, u32) {
        let counters = Counters::of_bucket(self.packed().unpacked());
        (counters, u32::from(self.second & REFUSED != 0))
    }

    pub(super) fn is_unused(&self, own: &Policy, now: Timestamp) -> bool {
        self.counters().0.empty_at(own) <= now
    }

    pub(super) fn usage(&self, own: &Policy, now: Timestamp) -> InUse {
        self.counters().0.usage(own, now, 1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::key::KeyHasher;
    use super::*;
    use crate::algorithm::Mode;
    use crate::{Algorithm, Quota};

    fn policy(limit: u32, period: u64, burst: u32) -> Policy {
        let quota = Quota::new(limit, Duration::from_micros(period)).burst(burst);
        Policy::new("policy", quota).algorithm(Algorithm::Gcra)
    }

    /// The slot of a subject without charges, whose policy has the largest number that there can be.
    fn slot(policy: &Policy) -> HalfSlot {
        let key = (KeyHasher::new().key("subject"), (1 << FORM_BITS) - 1);
        HalfSlot::new(key, 0, &Counters::new(policy), policy).unwrap()
    }

    proptest! {
        /// The slot decides as the bucket does that it has in it, or says that it cannot and is as before.
        #[test]
        fn it_is_the_bucket(
            (limit, period, burst) in prop::sample::select(&[
                (1_u32, 1_000_000_u64, 5_u32),
                (3, 1_000, 2),
                (100, 60_000_000, 100),
                (1_000_000, 1_000_000, 1_000_000),
                // Ten years.
                (1_000_000, 86_400_000_000, 3_650_000_000),
            ]),
            start in prop::sample::select(&[1_u64 << 50, (1 << 52) - 1_000_000_000]),
            events in prop::collection::vec((0_u32..4, 0_u64..3_000, any::<bool>()), 0..100),
        ) {
            let policy = policy(limit, period, burst);
            let (mut slot, mut bucket) = (slot(&policy), Counters::new(&policy));
            let (key, form) = (slot.key(), slot.form());
            let mut now = start;
            for (cost, pause, is_large) in events {
                now += pause * period / 1_000;
                // A large cost takes more than a fiftieth of the burst.
                let cost = if is_large { cost * burst.div_ceil(50) } else { cost };
                let (check, now) = (Check::new(&policy, "subject", cost), Timestamp::from_micros(now));
                let [mut expected, mut verdict] = [Verdict::open(), Verdict::open()];
                let before = bucket.clone();
                bucket.decide(&check, now, Mode::Charge, &mut expected);
                if slot.charge(&check, now, &mut verdict) == Charged::Unfit {
                    let is_refused = matches!(expected.outcome(), Outcome::Refused { .. });
                    let fits = bucket.bucket().and_then(|bucket| bucket.packed());
                    prop_assert!(fits.is_none() || (is_refused && cost > 1));
                    bucket = before;
                } else {
                    let is_refused = matches!(expected.outcome(), Outcome::Refused { .. });
                    prop_assert!(!is_refused || cost == 1, "the cost that was refused is forgotten");
                    prop_assert_eq!(verdict, expected);
                }
                let (held, refused) = slot.counters();
                prop_assert_eq!(held.bucket(), bucket.bucket());
                prop_assert!(refused <= 1);
                prop_assert_eq!((slot.key(), slot.form()), (key, form));
            }
        }
    }
}
