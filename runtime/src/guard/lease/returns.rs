//! Giving back what was leased and not spent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::account::Grant;
use super::{Key, Shared};
use crate::Operation;
use crate::algorithm::Micros;
use crate::clock::first_of;

/// How many go in one batch.
const BATCH: usize = 128;

/// What is to be given back, now and later. A task sees to it, which exists only while there is
/// something.
#[derive(Default)]
pub(super) struct Returns {
    list: Mutex<List>,
    changed: Notify,
    /// Held while something is on its way back.
    giving: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct List {
    now: Vec<(Key, Grant)>,
    /// By when to look; the number tells apart those of the same instant.
    later: BTreeMap<(Micros, u64), Key>,
    number: u64,
    attended: bool,
}

impl Returns {
    /// Adds what is left of a lease.
    pub(super) fn collect(&self, key: Key, grant: Option<Grant>) {
        if let Some(grant) = grant {
            self.lock().now.push((key, grant));
        }
    }

    fn collect_at(&self, key: Key, until: Micros) {
        let mut list = self.lock();
        list.number += 1;
        let at = (until, list.number);
        list.later.insert(at, key);
    }

    /// Those whose time is over at `now`.
    fn due(&self, now: Micros) -> Vec<Key> {
        let mut list = self.lock();
        let later = list.later.split_off(&(now.saturating_add(1), 0));
        std::mem::replace(&mut list.later, later).into_values().collect()
    }

    /// The lists are whole whenever the lock is free.
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Gives back what is left of a lease, without waiting for that.
    pub(super) fn give_back_soon(self: &Arc<Self>, key: Key, grant: Option<Grant>) {
        if grant.is_some() {
            self.returns.collect(key, grant);
            self.attend();
            self.returns.changed.notify_one();
        }
    }

    /// Gives back what is left of a key's lease at `until`.
    pub(super) fn watch(self: &Arc<Self>, key: Key, until: Micros) {
        self.returns.collect_at(key, until);
        self.attend();
        self.returns.changed.notify_one();
    }

    /// Sees to it that somebody looks at the lists. Who did may be gone, with its runtime.
    pub(super) fn attend(self: &Arc<Self>) {
        let attended = std::mem::replace(&mut self.returns.lock().attended, true);
        if !attended {
            // Made before the task runs, so that it is there even if the task never does.
            let attending = Attending { shared: Arc::clone(self), ended: false };
            tokio::spawn(attending.run());
        }
    }

    /// Gives back all of which it is time, best effort.
    pub(super) async fn give_back(&self) {
        let _giving = self.returns.giving.lock().await;
        let now = self.clock.now_micros();
        for key in self.returns.due(now) {
            self.expire(key, now);
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

    fn expire(&self, key: Key, now: Micros) {
        let mut shard = self.accounts.shard(key.hash);
        let Some(entry) = shard.find(&key.policy, &key.subject, key.hash) else { return };
        let key = Key::of(entry);
        match entry.value.expire(now) {
            Ok(grant) => {
                entry.value.watched = false;
                self.returns.collect(key, grant);
            }
            Err(until) => self.returns.collect_at(key, until),
        }
    }

    /// When to look next; `None` if there is nothing, and then nobody attends any more.
    fn next_look(&self) -> Option<Micros> {
        let mut list = self.returns.lock();
        let next = list.later.keys().next().map(|(until, _)| *until);
        let next = if list.now.is_empty() { next } else { Some(0) };
        list.attended = next.is_some();
        next
    }
}

fn refund<'a>(key: &'a Key, grant: &Grant) -> Operation<'a> {
    Operation::refund(key.check(grant.left), grant.stamp)
}

/// The task. If it ends before its time, with its runtime, the next one starts anew.
struct Attending {
    shared: Arc<Shared>,
    ended: bool,
}

impl Attending {
    async fn run(mut self) {
        loop {
            self.shared.give_back().await;
            let Some(until) = self.shared.next_look() else { break };
            let left = Duration::from_micros(until.saturating_sub(self.shared.clock.now_micros()));
            let changed = self.shared.returns.changed.notified();
            first_of(changed, self.shared.clock.sleep(left)).await;
        }
        self.ended = true;
    }
}

impl Drop for Attending {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.returns.lock().attended = false;
        }
    }
}
