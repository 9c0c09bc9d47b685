//! Bans: the operations on them, and the list of those in force, by their ends. They may hold only a
//! part of the backend's keys, because a banned key cannot be evicted.

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;

use super::{Lock, LockedShard, MemoryBackend, lock};
use crate::micros::{TimeSpan, Timestamp};
use crate::{BackendError, Check, Policy};

pub(super) struct Bans {
    /// The largest number of bans.
    most: usize,
    by_end: Lock<BTreeMap<BannedKey, Arc<Policy>>>,
}

/// The key of a banned subject. The order is by the end of the ban.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BannedKey {
    pub(super) until: Timestamp,
    subject: SmolStr,
    policy_name: SmolStr,
}

impl BannedKey {
    fn new(check: &Check<'_>, until: Timestamp) -> Self {
        let (subject, policy_name) = (check.subject.into(), check.policy.name_handle());
        Self { until, subject, policy_name }
    }

    /// Returns a check of the banned subject, by which its slot is found.
    pub(super) fn check<'a>(&'a self, policy: &'a Policy) -> Check<'a> {
        Check::new(policy, &self.subject, 0)
    }
}

impl Bans {
    /// Creates the list for a backend of `max_keys` keys, of which at most half may be banned.
    pub(super) fn new(max_keys: usize) -> Self {
        Self { most: (max_keys / 2).max(1), by_end: Lock::default() }
    }

    /// Adds a ban of the check's subject. If there are too many, removes those that end soonest, and
    /// returns those of them that are in force at `now`: they have to be lifted.
    pub(super) fn add(
        &self,
        check: &Check<'_>,
        until: Timestamp,
        now: Timestamp,
    ) -> Vec<(BannedKey, Arc<Policy>)> {
        let mut by_end = lock(&self.by_end);
        by_end.insert(BannedKey::new(check, until), Arc::new(check.policy.clone()));
        let mut lifted = Vec::new();
        while let Some(first) = by_end.first_entry()
            && (first.key().until <= now || by_end.len() > self.most)
        {
            let Some(entry) = by_end.pop_first() else { break };
            if entry.0.until > now {
                lifted.push(entry);
            }
        }
        lifted
    }

    /// Removes the ban of the check's subject that is in force until `until`, if there is one.
    pub(super) fn remove(&self, check: &Check<'_>, until: Option<Timestamp>) {
        if let Some(until) = until {
            lock(&self.by_end).remove(&BannedKey::new(check, until));
        }
    }

    /// Returns the subjects in the list.
    #[cfg(all(test, shuttle))]
    pub(super) fn subjects(&self) -> Vec<SmolStr> {
        lock(&self.by_end).keys().map(|key| key.subject.clone()).collect()
    }
}

impl MemoryBackend {
    /// Bans the check's subject for a time.
    pub(super) fn ban(&self, check: &Check<'_>, span: TimeSpan) -> Result<(), BackendError> {
        let mut locked = self.lock_shard(check);
        let now = self.now();
        let place = match locked.find() {
            Some(place) => Some(place),
            None => locked.add(now)?,
        };
        let Some(place) = place else {
            return Err(BackendError::not_executed(
                "the memory backend is full of subjects that are being refused: raise `max_keys`",
            ));
        };
        self.cold.bans.remove(check, locked.banned_until(place, now));
        let until = locked.ban(place, now, span);
        self.record_ban(locked, check, until, now);
        Ok(())
    }

    /// Adds a ban to the list of those in force. Lifts the bans that have to give way.
    #[cold]
    fn record_ban(
        &self,
        locked: LockedShard<'_>,
        check: &Check<'_>,
        until: Timestamp,
        now: Timestamp,
    ) {
        // The list follows the slot under the lock of its shard, so that a ban that ends meanwhile does not
        // stay in it.
        let giving_way = self.cold.bans.add(check, until, now);
        // They may be in other shards, so no lock is held while they are lifted.
        drop(locked);
        for (key, policy) in giving_way {
            let check = key.check(&policy);
            let mut locked = self.lock_shard(&check);
            let place = locked.find();
            // If the clock was set back, the ban ends earlier than the list says.
            let place = place.filter(|place| locked.banned_until(*place, now) <= Some(key.until));
            let is_lifted = place.is_some_and(|place| {
                // The subject may have been banned again, until the same time.
                self.cold.bans.remove(&check, locked.banned_until(place, now));
                locked.lift_ban(place, now)
            });
            drop(locked);
            if is_lifted && self.counts.ban_lifted() {
                tracing::warn!(
                    policy = check.policy.name(),
                    "half of the memory backend's keys are banned; bans now end early, those that \
                     would end soonest first. Raise `max_keys`, or find out who sends so many \
                     distinct keys"
                );
            }
        }
    }

    /// Ends the ban of the check's subject. Returns `true` if there was one.
    pub(super) fn unban(&self, check: &Check<'_>) -> bool {
        let mut locked = self.lock_shard(check);
        let now = self.now();
        let Some(place) = locked.find() else { return false };
        self.cold.bans.remove(check, locked.banned_until(place, now));
        locked.lift_ban(place, now)
    }

    /// Adds the ban that a refusal of the check has begun to the list of those in force.
    #[cold]
    pub(super) fn record_new_ban(
        &self,
        mut locked: LockedShard<'_>,
        check: &Check<'_>,
        now: Timestamp,
    ) {
        let place = locked.find();
        if let Some(until) = place.and_then(|place| locked.banned_until(place, now)) {
            self.record_ban(locked, check, until, now);
        }
    }
}
