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
    debts: Mutex<Debts>,
}

#[derive(Default)]
struct Debts {
    charges: HashMap<ChargeKey, UnreportedCharge>,
    /// The number of the last charge. The numbers begin with 1.
    last_number: u64,
}

/// The key of an unreported charge: the policy's name and the subject.
type ChargeKey = (SmolStr, SmolStr);

/// The sum of all unreported charges of one subject under one policy.
pub(super) struct UnreportedCharge {
    pub(super) policy: Policy,
    pub(super) subject: SmolStr,
    units: u32,
    /// The time of the last charge.
    last: Timestamp,
    /// The units contain each charge of this subject in full whose number is this one or larger.
    /// Charges with smaller numbers are not contained, or only in part.
    first: u64,
}

impl UnreportedCharge {
    /// Returns the number of units.
    pub(super) fn units(&self) -> u32 {
        self.units
    }

    /// Lowers the units to `units` if they are more. It is then not known which of the charges are
    /// contained, so none of them can be refunded any more.
    pub(super) fn reduce_to(&mut self, units: u32) {
        if units < self.units {
            self.units = units;
            self.first = u64::MAX;
        }
    }

    /// Returns `true` if any of the units may still be in use at `now`.
    pub(super) fn counts_at(&self, now: Timestamp) -> bool {
        let spans = self.policy.quotas().iter().map(|quota| {
            let fill = u128::from(quota.capacity()) * u128::from(quota.period_micros())
                / u128::from(quota.limit());
            let fill = TimeSpan::from_micros(u64::try_from(fill).unwrap_or(u64::MAX));
            fill.max(quota.longest_span())
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

    /// Adds a charge. Returns its number; 0 if it is not stored.
    pub(super) fn add(&self, check: &Check<'_>, now: Timestamp) -> u64 {
        // A policy without quotas counts only what is in flight.
        if check.cost == 0 || check.policy.quotas().is_empty() {
            return 0;
        }
        let mut debts = self.lock();
        let number = debts.last_number + 1;
        let charge = UnreportedCharge {
            // A report is no request: it is not refused, and holds no permit.
            policy: check.policy.clone().without_ban().without_in_flight(),
            subject: check.subject.into(),
            units: check.cost,
            last: now,
            first: number,
        };
        if !debts.add(charge) {
            return 0;
        }
        debts.last_number = number;
        self.any.store(true, Ordering::Relaxed);
        number
    }

    /// Calls `refund` if the charge with this number is still to be reported, and subtracts the
    /// charge if `refund` returns `true`. Returns `true` if it did so.
    pub(super) fn refund(
        &self,
        check: &Check<'_>,
        number: u64,
        refund: impl FnOnce() -> bool,
    ) -> bool {
        let mut debts = self.lock();
        let charge = debts.charges.get_mut(&key(check)).filter(|charge| charge.first <= number);
        // The lock is kept meanwhile, so that no report takes a charge that is being refunded.
        let Some(charge) = charge.filter(|_| refund()) else { return false };
        charge.units = charge.units.saturating_sub(check.cost);
        true
    }

    /// Removes all charges of the check's subject.
    pub(super) fn remove(&self, check: &Check<'_>) {
        self.lock().charges.remove(&key(check));
    }

    /// Removes all charges, and returns them.
    pub(super) fn take(&self) -> Vec<UnreportedCharge> {
        let mut debts = self.lock();
        self.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut debts.charges).into_values().collect()
    }

    /// Adds charges again that were taken and could not be reported.
    pub(super) fn put_back(&self, charges: impl Iterator<Item = UnreportedCharge>) {
        let mut debts = self.lock();
        for charge in charges.filter(|charge| charge.units > 0) {
            if debts.add(charge) {
                self.any.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Locks the charges. Poison is ignored, because no code panics while it has the lock.
    fn lock(&self) -> MutexGuard<'_, Debts> {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debts {
    /// Adds a charge to those of its subject. Returns `false` if there are too many subjects.
    fn add(&mut self, charge: UnreportedCharge) -> bool {
        let key = (charge.policy.name_handle(), charge.subject.clone());
        if let Some(known) = self.charges.get_mut(&key) {
            let sum = known.units.checked_add(charge.units);
            known.units = sum.unwrap_or(u32::MAX);
            known.last = known.last.max(charge.last);
            // The lowest number is right, because reports come one after the other: every charge in
            // between is contained, too.
            known.first = sum.map_or(u64::MAX, |_| known.first.min(charge.first));
            return true;
        }
        let fits = self.charges.len() < MAX_SUBJECTS;
        if fits {
            self.charges.insert(key, charge);
        }
        fits
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
