//! What was taken in this process during an outage, until the backend learns of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use smol_str::SmolStr;

use crate::algorithm::Micros;
use crate::{Check, Operation, Policy};

/// The most subjects whose debts are remembered. Those of others are not posted.
const MAX_DEBTS: usize = 10_000;

#[derive(Default)]
pub(super) struct Owed {
    /// Whether there are any that nobody has claimed, so that checks need not lock to know.
    any: AtomicBool,
    debts: Mutex<HashMap<Key, Debt>>,
}

/// The policy's name and the subject.
type Key = (SmolStr, SmolStr);

pub(super) struct Debt {
    pub(super) policy: Policy,
    pub(super) subject: SmolStr,
    pub(super) units: u32,
    /// When the last of them was taken.
    pub(super) last: Micros,
}

impl Debt {
    /// Whether any of it may still count.
    pub(super) fn counts_at(&self, now: Micros) -> bool {
        let periods = self.policy.quotas().iter().map(|quota| {
            let fill = u128::from(quota.capacity()) * u128::from(quota.period_micros())
                / u128::from(quota.limit());
            quota.period_micros().max(u64::try_from(fill).unwrap_or(u64::MAX))
        });
        now < self.last.saturating_add(periods.max().unwrap_or(0))
    }

    /// The charge of as much as the policy can hold.
    pub(super) fn charge(&self) -> Operation<'_> {
        let capacities = self.policy.quotas().iter().map(|quota| quota.capacity());
        let cost = self.units.min(capacities.min().unwrap_or(0));
        Operation::charge(Check::new(&self.policy, &self.subject, cost))
    }
}

impl Owed {
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Whether there were any that nobody has claimed.
    pub(super) fn claim(&self) -> bool {
        self.any.swap(false, Ordering::Relaxed)
    }

    pub(super) fn add(&self, policy: &Policy, subject: &str, units: u32, now: Micros) {
        if units == 0 {
            return;
        }
        let mut debts = self.lock();
        let key = key(policy, subject);
        if debts.len() >= MAX_DEBTS && !debts.contains_key(&key) {
            return;
        }
        let debt = debts.entry(key).or_insert_with_key(|(_, subject)| Debt {
            policy: policy.clone(),
            subject: subject.clone(),
            units: 0,
            last: now,
        });
        debt.units = debt.units.saturating_add(units);
        debt.last = now;
        self.any.store(true, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, policy: &Policy, subject: &str, units: u32) {
        if let Some(debt) = self.lock().get_mut(&key(policy, subject)) {
            debt.units = debt.units.saturating_sub(units);
        }
    }

    pub(super) fn remove(&self, policy: &Policy, subject: &str) {
        self.lock().remove(&key(policy, subject));
    }

    /// All of them, which are then the caller's.
    pub(super) fn take(&self) -> Vec<Debt> {
        let mut debts = self.lock();
        self.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut *debts).into_values().collect()
    }

    pub(super) fn put_back(&self, debts: impl Iterator<Item = Debt>) {
        for Debt { policy, subject, units, last } in debts {
            self.add(&policy, &subject, units, last);
        }
    }

    /// Nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Debt>> {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(policy: &Policy, subject: &str) -> Key {
    (policy.name_handle(), subject.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Quota;

    #[test]
    fn however_many_subjects_come_only_so_many_are_remembered() {
        let policy = Policy::new("p", Quota::new(5, Duration::from_secs(1)));
        let owed = Owed::default();
        for round in 1..=2 {
            for subject in 0..=MAX_DEBTS {
                owed.add(&policy, &subject.to_string(), 2, round);
            }
        }
        assert!(owed.claim() && !owed.claim());
        let debts = owed.take();
        assert_eq!(debts.len(), MAX_DEBTS);
        assert!(debts.iter().all(|debt| debt.units == 4 && debt.last == 2));
        assert!(owed.take().is_empty());
    }
}
