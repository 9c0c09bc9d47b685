//! The charges that this process admitted during an outage of the backend, and has not yet reported
//! to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use smol_str::SmolStr;

use crate::micros::{TimeSpan, Timestamp};
use crate::{Check, Policy};

/// The maximum number of subjects whose charges are stored. Charges of further subjects are never
/// reported.
const MAX_SUBJECTS: usize = 10_000;

#[derive(Default)]
pub(super) struct UnreportedCharges {
    /// `true` while there are charges that no caller has begun to report. Checks read it without a
    /// lock.
    any: AtomicBool,
    charges: Mutex<HashMap<ChargeKey, UnreportedCharge>>,
}

/// The key of an unreported charge: the policy's name and the subject.
type ChargeKey = (SmolStr, SmolStr);

/// The sum of all unreported charges of one subject under one policy.
pub(super) struct UnreportedCharge {
    pub(super) policy: Policy,
    pub(super) subject: SmolStr,
    pub(super) units: u32,
    /// The time of the last charge.
    pub(super) last: Timestamp,
}

impl UnreportedCharge {
    /// Returns `true` if any of the units may still be in use at `now`.
    pub(super) fn counts_at(&self, now: Timestamp) -> bool {
        let spans = self.policy.quotas().iter().map(|quota| {
            let fill = u128::from(quota.capacity()) * u128::from(quota.period_micros())
                / u128::from(quota.limit());
            let fill = TimeSpan::from_micros(u64::try_from(fill).unwrap_or(u64::MAX));
            fill.max(quota.period_span())
        });
        now < self.last.saturating_add(spans.max().unwrap_or_default())
    }

    /// Returns the check that charges these units to the backend. Its cost is at most the smallest
    /// capacity of the policy's quotas.
    pub(super) fn check(&self) -> Check<'_> {
        let capacities = self.policy.quotas().iter().map(|quota| quota.capacity());
        let cost = self.units.min(capacities.min().unwrap_or(0));
        Check::new(&self.policy, &self.subject, cost)
    }
}

impl UnreportedCharges {
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Claims the report for the caller. Returns `true` if there are charges to report, and no
    /// other caller has claimed them.
    pub(super) fn claim(&self) -> bool {
        self.any.swap(false, Ordering::Relaxed)
    }

    pub(super) fn add(&self, check: &Check<'_>, now: Timestamp) {
        if check.cost == 0 {
            return;
        }
        let mut charges = self.lock();
        let key = key(check);
        if charges.len() >= MAX_SUBJECTS && !charges.contains_key(&key) {
            return;
        }
        let charge = charges.entry(key).or_insert_with_key(|(_, subject)| UnreportedCharge {
            policy: check.policy.clone(),
            subject: subject.clone(),
            units: 0,
            last: now,
        });
        charge.units = charge.units.saturating_add(check.cost);
        charge.last = now;
        self.any.store(true, Ordering::Relaxed);
    }

    /// Subtracts a charge that was refunded.
    pub(super) fn subtract(&self, check: &Check<'_>) {
        if let Some(charge) = self.lock().get_mut(&key(check)) {
            charge.units = charge.units.saturating_sub(check.cost);
        }
    }

    /// Removes all charges of the check's subject.
    pub(super) fn remove(&self, check: &Check<'_>) {
        self.lock().remove(&key(check));
    }

    /// Removes all charges, and returns them.
    pub(super) fn take(&self) -> Vec<UnreportedCharge> {
        let mut charges = self.lock();
        self.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut *charges).into_values().collect()
    }

    pub(super) fn put_back(&self, charges: impl Iterator<Item = UnreportedCharge>) {
        for UnreportedCharge { policy, subject, units, last } in charges {
            self.add(&Check::new(&policy, &subject, units), last);
        }
    }

    /// Locks the charges. Poison is ignored, because no code panics while it has the lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<ChargeKey, UnreportedCharge>> {
        self.charges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(check: &Check<'_>) -> ChargeKey {
    (check.policy.name_handle(), check.subject.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Quota;

    #[test]
    fn however_many_subjects_come_only_so_many_are_remembered() {
        let policy = Policy::new("p", Quota::new(5, Duration::from_secs(1)));
        let unreported = UnreportedCharges::default();
        for round in 1..=2 {
            for subject in 0..=MAX_SUBJECTS {
                let subject = subject.to_string();
                let check = Check::new(&policy, &subject, 2);
                unreported.add(&check, Timestamp::from_micros(round));
            }
        }
        assert!(unreported.claim() && !unreported.claim());
        let charges = unreported.take();
        assert_eq!(charges.len(), MAX_SUBJECTS);
        let last = Timestamp::from_micros(2);
        assert!(charges.iter().all(|charge| charge.units == 4 && charge.last == last));
        assert!(unreported.take().is_empty());
    }
}
