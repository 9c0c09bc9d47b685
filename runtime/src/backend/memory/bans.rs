//! Bans: the operations on them, and the list of those in force, by their ends. They may hold only a
//! part of the backend's keys, because a banned key cannot be evicted.

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;

use super::slot::Slot;
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

    /// Removes the ban in force of the check's subject, if there is one. The slot is the subject's.
    pub(super) fn remove(&self, check: &Check<'_>, slot: &Slot, now: Timestamp) {
        if let Some(until) = slot.banned_until(now) {
            lock(&self.by_end).remove(&BannedKey::new(check, until));
        }
    }
}

impl MemoryBackend {
    /// Bans the check's subject for a time.
    pub(super) fn ban(&self, check: &Check<'_>, span: TimeSpan) -> Result<(), BackendError> {
        let mut locked = self.lock_shard(check);
        let now = self.now();
        let slot = match locked.find(check) {
            Some(_) => locked.find(check),
            None => self.add_key(&mut locked, check, now)?,
        };
        let Some(slot) = slot else {
            return Err(BackendError::not_executed(
                "the memory backend is full of subjects that are being refused: raise `max_keys`",
            ));
        };
        self.bans.remove(check, slot, now);
        let until = slot.ban(now, span);
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
        // The bans that give way may be in other shards, so no lock is held while they are lifted.
        drop(locked);
        for (key, policy) in self.bans.add(check, until, now) {
            let check = key.check(&policy);
            let mut locked = self.lock_shard(&check);
            let slot = locked.find(&check);
            // If the clock was set back, the ban ends earlier than the list says.
            let slot = slot.filter(|slot| slot.banned_until(now) <= Some(key.until));
            let is_lifted = slot.is_some_and(|slot| slot.lift_ban(now));
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
        let Some(slot) = locked.find(check) else { return false };
        self.bans.remove(check, slot, now);
        slot.lift_ban(now)
    }

    /// Adds the ban that a refusal of the check has begun to the list of those in force.
    #[cold]
    pub(super) fn record_new_ban(
        &self,
        mut locked: LockedShard<'_>,
        check: &Check<'_>,
        now: Timestamp,
    ) {
        if let Some(until) = locked.find(check).and_then(|slot| slot.banned_until(now)) {
            self.record_ban(locked, check, until, now);
        }
    }
}
