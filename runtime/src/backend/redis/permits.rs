//! The permits of requests in flight that this process holds, and their renewal.
//!
//! The server stores how many permits each process holds of a subject, as a lease. Every operation on
//! a subject tells it what this process has released by the account here, and what it holds, and so
//! renews the lease and makes good what was lost on the way. A task reports the subjects for which nothing else is sent: soon
//! after a release, and otherwise three times in the length of the lease. Reports leave together,
//! and share round trips with the checks.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use smol_str::SmolStr;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::cluster::slot_of;
use super::discovery::Discovery;
use super::driver::LazyDriver;
use super::key_name;
use super::request::{ReplyReceiver, Request};
use super::script::{Keys, PermitArguments, Plan};
use super::servers::Servers;
use crate::clock::first_of;
use crate::operation::{Action, Operation};
use crate::{BackendError, Check};

/// The number of reports in the length of a lease.
const RENEWALS: u32 = 3;
/// The pause after a report that has failed.
const PAUSE: Duration = Duration::from_millis(50);

/// The account of the permits that this process holds.
pub(super) struct HeldPermits {
    itself: Weak<Self>,
    owner: [u8; 8],
    key_prefix: String,
    deadline: Duration,
    servers: Arc<Discovery>,
    account: Mutex<Account>,
    /// Notified when there is something to report, and when everything has been.
    changed: Notify,
    reported: Notify,
    /// The runtime of the reports, from the first permit on.
    driver: LazyDriver,
}

#[derive(Default)]
struct Account {
    /// The number of the last operation.
    last: u64,
    /// By the keys of the counters.
    subjects: HashMap<Box<[u8]>, SubjectPermits>,
    /// The time at which the task looks at the account; `None` while there is no task.
    next_look: Option<Instant>,
}

/// The permits of one subject.
struct SubjectPermits {
    policy: SmolStr,
    held: u32,
    /// The operations on their way that may take a permit.
    asking: u32,
    /// The number of permits released so far, and of the operations before the first of this subject, so
    /// that it never goes back.
    released: u64,
    /// `true` if the answer to an operation was lost, and nothing has made that good since.
    lacks_answer: bool,
    limit: u32,
    hold_micros: u64,
    /// The number of the operation after which the account changed in a way that the server does not
    /// know; `None` if it knows everything.
    changed_after: Option<u64>,
    /// The time of the last operation that the server has answered.
    renewed: Instant,
}

impl SubjectPermits {
    fn renewal(&self) -> Duration {
        Duration::from_micros(self.hold_micros) / RENEWALS
    }

    /// Returns the time of the next report; `None` if there is nothing to report.
    fn due(&self) -> Option<Instant> {
        match (self.changed_after, self.held) {
            // Only when nothing is on its way can a report say what an answer would have said.
            (Some(_), _) if self.lacks_answer && self.asking > 0 => Some(self.renewed + PAUSE),
            (Some(_), _) => Some(self.renewed),
            (None, 0) => None,
            (None, _) => Some(self.renewed + self.renewal()),
        }
    }

    fn is_unused(&self) -> bool {
        self.held == 0 && self.asking == 0 && self.changed_after.is_none()
    }

    /// Notes the answer to the operation of this number. `is_exact` is `true` if it said all that this
    /// process holds.
    fn answered(&mut self, number: u64, is_exact: bool) {
        self.renewed = Instant::now();
        if self.changed_after.is_some_and(|after| after < number)
            && (is_exact || !self.lacks_answer)
        {
            (self.changed_after, self.lacks_answer) = (None, false);
        }
    }
}

impl HeldPermits {
    pub(super) fn new(
        key_prefix: String,
        servers: Arc<Discovery>,
        deadline: Duration,
    ) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            // A random number, which no other process has.
            owner: RandomState::new().build_hasher().finish().to_le_bytes(),
            key_prefix,
            deadline,
            servers,
            account: Mutex::default(),
            changed: Notify::new(),
            reported: Notify::new(),
            driver: LazyDriver::default(),
        })
    }

    /// Returns the key of the permits of a subject, by that of its counters.
    pub(super) fn key(
        &self,
        counters: &[u8],
        servers: &Servers,
    ) -> Result<Box<[u8]>, BackendError> {
        let key = key_name::of_permits(&self.key_prefix, counters);
        if let Servers::Cluster(_) = servers
            && slot_of(&key) != slot_of(counters)
        {
            return Err(BackendError::rejected(
                "a limit on requests in flight needs a key prefix without braces, or with one hash \
                 tag such as `{limits}:`",
            ));
        }
        Ok(key)
    }

    /// Returns what an operation says of the permits, and the note that it may take one; `None` if it
    /// only looks.
    pub(super) fn ask(
        self: &Arc<Self>,
        keys: &Keys,
        operation: &Operation<'_>,
    ) -> (PermitArguments, Option<PermitOnItsWay>) {
        let check = &operation.check;
        let takes = operation.action == Action::Charge && check.cost > 0 && !check.can_never_pass();
        let mut account = self.lock();
        account.last += 1;
        let number = account.last;
        let (limit, hold_micros) = terms_of(check);
        let known = account.subjects.get(&keys.counters);
        let (have, is_exact, released) =
            known.map_or((0, true, number), |it| (it.held, it.asking == 0, it.released));
        let owner = self.owner;
        let permits =
            PermitArguments { owner, number, have, is_exact, limit, hold_micros, released };
        if !takes {
            return (permits, None);
        }
        let subject = account.subject(&keys.counters, check);
        subject.asking += 1;
        (subject.limit, subject.hold_micros) = (limit, hold_micros);
        let (of, key) = (Arc::clone(self), keys.counters.clone());
        (permits, Some(PermitOnItsWay { of, key, number, is_exact, is_given: None }))
    }

    /// Adds a permit that was given elsewhere.
    pub(super) fn adopt(self: &Arc<Self>, key: &[u8], check: &Check<'_>) {
        let mut account = self.lock();
        let last = account.last;
        let subject = account.subject(key, check);
        subject.held += 1;
        subject.changed_after = Some(last);
        let due = subject.renewed;
        self.tell(account, due);
    }

    /// Releases a permit.
    pub(super) fn release(self: &Arc<Self>, key: &[u8]) {
        let mut account = self.lock();
        let last = account.last;
        let Some(subject) = account.subjects.get_mut(key) else { return };
        subject.held = subject.held.saturating_sub(1);
        subject.released += 1;
        subject.changed_after = Some(last);
        let due = subject.renewed;
        self.tell(account, due);
    }

    /// Calls `add` with the policy's name and the number of the permits of each subject.
    pub(super) fn each_held(&self, add: &mut dyn FnMut(&str, u32)) {
        self.lock().subjects.values().for_each(|subject| add(&subject.policy, subject.held));
    }

    /// Waits until the server knows of all releases, but not longer than `deadline`.
    pub(super) async fn close(&self, deadline: Duration) {
        let is_told = || self.lock().subjects.values().all(|it| it.changed_after.is_none());
        let told = async {
            loop {
                let reported = self.reported.notified();
                if is_told() {
                    break;
                }
                reported.await;
            }
        };
        // A release that is not told by then ends with the lease.
        let _ = timeout(deadline, told).await;
    }

    /// Makes the task look at the account by `due`. Starts it if it does not run.
    fn tell(self: &Arc<Self>, mut account: MutexGuard<'_, Account>, due: Instant) {
        match account.next_look {
            Some(next) if next <= due => {}
            Some(_) => {
                account.next_look = Some(due);
                drop(account);
                self.changed.notify_one();
            }
            None => {
                // Without a thread for connections there is no server either.
                let Ok(driver) = self.driver.get() else { return };
                account.next_look = Some(due);
                drop(account);
                let held = self.itself.clone();
                drop(driver.spawn(async move { report_while_held(held).await }));
            }
        }
    }

    /// Sends the reports that are due, and notes what the server has answered. Returns the time of the
    /// next look; `None` if there is nothing to report any more, and then the task has to end. Also
    /// returns `false` if the server has not answered.
    async fn report_due(self: Arc<Self>) -> (Option<Instant>, bool) {
        let due = self.lock().due(Instant::now(), self.owner);
        let is_answered = due.is_empty() || self.report(due).await;
        self.reported.notify_waiters();
        let mut account = self.lock();
        account.subjects.retain(|_, subject| !subject.is_unused());
        let next = account.subjects.values().filter_map(SubjectPermits::due).min();
        let next = if is_answered { next } else { Some(Instant::now() + PAUSE) };
        account.next_look = next;
        (next, is_answered)
    }

    /// Sends reports, each with the key of the counters. Returns `true` if all were answered.
    async fn report(self: &Arc<Self>, due: Vec<(Box<[u8]>, PermitArguments)>) -> bool {
        let deadline = Instant::now() + self.deadline;
        let Ok(servers) = self.servers.get_by(deadline).await else { return false };
        if let Servers::Cluster(cluster) = servers
            && cluster.ready_by(deadline).await.is_err()
        {
            return false;
        }
        let mut sent = Vec::with_capacity(due.len());
        for (key, permits) in due {
            let Ok(receiver) = self.submit(servers, &key, &permits, deadline) else { return false };
            sent.push((key, permits, receiver));
        }
        let mut all = true;
        for (key, permits, receiver) in sent {
            let is_answered = receiver.receive().await.is_ok();
            all &= is_answered;
            if is_answered && let Some(subject) = self.lock().subjects.get_mut(&key) {
                subject.answered(permits.number, permits.is_exact);
            }
        }
        all
    }

    fn submit(
        &self,
        servers: &Servers,
        key: &[u8],
        permits: &PermitArguments,
        deadline: Instant,
    ) -> Result<ReplyReceiver, BackendError> {
        let (node, slot) = servers.serving(key)?;
        let keys = Keys { counters: key.into(), permits: Some(self.key(key, servers)?) };
        let (mut request, receiver) = Request::new(keys, Plan::report(permits), slot, deadline);
        request.is_report = true;
        node.submit(request);
        Ok(receiver)
    }

    /// Locks the account. Poison is ignored, because no code panics while it has the lock.
    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn subject(&mut self, key: &[u8], check: &Check<'_>) -> &mut SubjectPermits {
        let ((limit, hold_micros), last) = (terms_of(check), self.last);
        self.subjects.entry(key.into()).or_insert_with(|| SubjectPermits {
            policy: check.policy.name_handle(),
            held: 0,
            asking: 0,
            released: last,
            lacks_answer: false,
            limit,
            hold_micros,
            changed_after: None,
            renewed: Instant::now(),
        })
    }

    /// Returns the reports that are due. With the first of them go those that are due half an interval
    /// later, so that in the long run all go together.
    fn due(&mut self, now: Instant, owner: [u8; 8]) -> Vec<(Box<[u8]>, PermitArguments)> {
        let is_due = |subject: &SubjectPermits| subject.due().is_some_and(|due| due <= now);
        if !self.subjects.values().any(is_due) {
            return Vec::new();
        }
        let is_near = |subject: &SubjectPermits| {
            subject.due().is_some_and(|due| due <= now + subject.renewal() / 2)
        };
        let near = self.subjects.iter().filter(|(_, subject)| is_near(subject));
        let numbers = self.last + 1..;
        let reports: Vec<_> = near
            .zip(numbers)
            .map(|((key, subject), number)| {
                let SubjectPermits { held: have, limit, hold_micros, released, .. } = *subject;
                let is_exact = subject.asking == 0;
                let permits =
                    PermitArguments { owner, number, have, is_exact, limit, hold_micros, released };
                (key.clone(), permits)
            })
            .collect();
        self.last += reports.len() as u64;
        reports
    }
}

/// Returns the number of permits and the time for which they are held, by the policy of a check.
fn terms_of(check: &Check<'_>) -> (u32, u64) {
    let in_flight = check.policy.get_in_flight();
    in_flight.map_or((u32::MAX, 0), |it| (it.limit(), it.hold_micros()))
}

/// Reports as long as there is something to report.
async fn report_while_held(held: Weak<HeldPermits>) {
    while let Some(permits) = held.upgrade() {
        let (Some(next), is_answered) = Arc::clone(&permits).report_due().await else { return };
        // A server that does not answer is not asked more often because there is more to tell.
        if is_answered {
            first_of(permits.changed.notified(), sleep_until(next)).await;
        } else {
            sleep_until(next).await;
        }
    }
}

/// A permit that an operation on its way may take. If this is dropped before the answer is known, the
/// next report says that this process does not hold it.
pub(super) struct PermitOnItsWay {
    of: Arc<HeldPermits>,
    key: Box<[u8]>,
    number: u64,
    is_exact: bool,
    /// `None` if the answer is not known.
    is_given: Option<bool>,
}

impl PermitOnItsWay {
    /// Notes the answer.
    pub(super) fn answered(mut self, is_given: bool) {
        self.is_given = Some(is_given);
    }
}

impl Drop for PermitOnItsWay {
    fn drop(&mut self) {
        let mut account = self.of.lock();
        let last = account.last;
        let Some(subject) = account.subjects.get_mut(&self.key) else { return };
        subject.asking -= 1;
        match self.is_given {
            Some(is_given) => {
                subject.held += u32::from(is_given);
                subject.answered(self.number, self.is_exact);
            }
            None => (subject.changed_after, subject.lacks_answer) = (Some(last), true),
        }
        if let Some(due) = subject.due() {
            self.of.tell(account, due);
        } else if subject.is_unused() {
            account.subjects.remove(&self.key);
        }
    }
}
