//! The return of unspent permits to the store.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use super::key_lease::Grant;
use super::{LeaseKey, SharedLeases};
use crate::clock::first_of;
use crate::micros::{TimeSpan, Timestamp};
use crate::operation::Operation;
use crate::sync::{Mutex, MutexGuard, Notify, runtime};

/// The maximum number of grants that are returned in one batch.
const BATCH: usize = 128;

/// The grants that have to be returned now, and those that may have to be returned when their
/// leases end. A task returns them. It exists only while there are such grants.
#[derive(Default)]
pub(super) struct Returns {
    pending: Mutex<PendingReturns>,
    changed: Notify,
    /// Locked while grants are being returned, so that only one caller returns them at a time.
    returning: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct PendingReturns {
    now: Vec<(LeaseKey, Grant)>,
    /// The keys whose leases end later, ordered by the time of the end. A number distinguishes
    /// leases that end at the same time.
    later: BTreeMap<(Timestamp, u64), LeaseKey>,
    number: u64,
    has_task: bool,
}

impl Returns {
    /// Adds the unspent permits of a lease, to be returned now. Does nothing if there are none.
    pub(super) fn add(&self, key: LeaseKey, grant: Option<Grant>) {
        if let Some(grant) = grant {
            self.lock().now.push((key, grant));
        }
    }

    fn add_later(&self, key: LeaseKey, until: Timestamp) {
        let mut pending = self.lock();
        pending.number += 1;
        let at = (until, pending.number);
        pending.later.insert(at, key);
    }

    /// Removes the keys whose leases have ended at `now`, and returns them.
    fn take_due(&self, now: Timestamp) -> Vec<LeaseKey> {
        let mut pending = self.lock();
        let later = pending.later.split_off(&(now.saturating_add(TimeSpan::ONE), 0));
        std::mem::replace(&mut pending.later, later).into_values().collect()
    }

    /// Locks the lists. Poison is ignored, because the lists are consistent whenever the lock is
    /// free.
    fn lock(&self) -> MutexGuard<'_, PendingReturns> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedLeases {
    /// Returns the unspent permits of a lease to the store, in the background.
    pub(super) fn return_soon(self: &Arc<Self>, key: LeaseKey, grant: Option<Grant>) {
        if grant.is_some() {
            self.returns.add(key, grant);
            self.spawn_return_task();
            self.returns.changed.notify_one();
        }
    }

    /// Schedules the return of the unspent permits of a key's lease at `until`.
    pub(super) fn schedule_return(self: &Arc<Self>, key: LeaseKey, until: Timestamp) {
        self.returns.add_later(key, until);
        self.spawn_return_task();
        self.returns.changed.notify_one();
    }

    /// Spawns the task that returns grants, unless it is running. The previous task may have been
    /// dropped together with its runtime.
    pub(super) fn spawn_return_task(self: &Arc<Self>) {
        let has_task = std::mem::replace(&mut self.returns.lock().has_task, true);
        if !has_task {
            // The task's value is created before it is spawned. So it is dropped, and resets
            // `has_task`, even if the runtime never polls it.
            let task = ReturnTask { shared: Arc::clone(self), ended: false };
            runtime::spawn(task.run());
        }
    }

    /// Sends the refunds of all grants that are due to be returned. Errors are only logged.
    pub(super) async fn return_due(&self) {
        let _returning = self.returns.returning.lock().await;
        let now = self.now();
        for key in self.returns.take_due(now) {
            self.expire(&key, now);
        }
        let unspent = std::mem::take(&mut self.returns.lock().now);
        for unspent in unspent.chunks(BATCH) {
            let refunds: Vec<_> = unspent.iter().map(|(key, grant)| refund(key, grant)).collect();
            for answer in self.inner.apply(&refunds).await {
                if let Err(error) = answer {
                    tracing::debug!(%error, "what was left of a lease could not be given back");
                }
            }
        }
    }

    fn expire(&self, key: &LeaseKey, now: Timestamp) {
        let hashed = key.hashed();
        let mut shard = self.leases.shard(&hashed);
        let Some(entry) = shard.find(&hashed) else { return };
        let key = LeaseKey::of(entry);
        match entry.value.expire(now) {
            Ok(grant) => {
                entry.value.return_scheduled = false;
                self.returns.add(key, grant);
            }
            Err(until) => self.returns.add_later(key, until),
        }
    }

    /// Returns the time at which the next grant is due. Returns `None` if there is nothing to
    /// return; then the task has to end.
    fn next_due(&self) -> Option<Timestamp> {
        let mut pending = self.returns.lock();
        let next = pending.later.keys().next().map(|(until, _)| *until);
        let next = if pending.now.is_empty() { next } else { Some(Timestamp::EPOCH) };
        pending.has_task = next.is_some();
        next
    }
}

fn refund<'a>(key: &'a LeaseKey, grant: &Grant) -> Operation<'a> {
    let check = key.check(grant.left);
    Operation::refund(check, grant.stamp.micros())
}

/// The task that returns grants. If it is dropped early, together with its runtime, another one can
/// be spawned.
struct ReturnTask {
    shared: Arc<SharedLeases>,
    ended: bool,
}

impl ReturnTask {
    async fn run(mut self) {
        loop {
            self.shared.return_due().await;
            let Some(until) = self.shared.next_due() else { break };
            let left = until.saturating_since(self.shared.now()).to_duration();
            let changed = self.shared.returns.changed.notified();
            first_of(changed, self.shared.clock.sleep(left)).await;
        }
        self.ended = true;
    }
}

impl Drop for ReturnTask {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.returns.lock().has_task = false;
        }
    }
}
