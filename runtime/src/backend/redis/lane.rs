//! Shared round trips. While one call to a server is under way, checks queue, and leave together
//! when it has landed: no timer, in the order of their coming.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::cluster::Cluster;
use super::connect::Source;
use super::failure::Failure;
use super::flight::{Flying, fly};
use super::job::Job;
use super::link::Link;
use super::stats::RedisStats;
use crate::{BackendError, Clock};

/// The most checks in one call, so that it keeps the server from others for about a
/// millisecond at most.
const MAX_CHECKS: usize = 128;
/// The most bytes of keys and arguments in one call.
const MAX_BYTES: usize = 64 * 1024;
/// The most checks that wait for one server. Those beyond are answered at once that they were
/// not executed.
const MAX_WAITING: usize = 16 * 1024;

pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// The way to one server. One flight at a time, in a task of its own, which exists only while
/// there is something to carry.
pub(super) struct Lane {
    pub(super) link: Arc<Link>,
    /// The time to decide by, in tests.
    pub(super) virtual_time: Option<Arc<dyn Clock>>,
    /// Knows other ways, if there are any.
    pub(super) cluster: Option<Weak<Cluster>>,
    queue: Mutex<Queue>,
    pub(super) landed: Notify,
    trips: AtomicU64,
    /// What they carried.
    carried: AtomicU64,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    flying: bool,
    closed: bool,
}

impl Lane {
    pub(super) fn new(
        source: Source,
        virtual_time: Option<Arc<dyn Clock>>,
        cluster: Option<Weak<Cluster>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            link: Link::new(source),
            virtual_time,
            cluster,
            queue: Mutex::default(),
            landed: Notify::new(),
            trips: AtomicU64::new(0),
            carried: AtomicU64::new(0),
        })
    }

    /// Takes a job on its way, behind those that wait.
    pub(super) fn submit(self: &Arc<Self>, job: Job) {
        let mut queue = self.lock();
        if queue.closed {
            drop(queue);
            return job.answer(Err(Failure::Never("it has been closed".to_owned())));
        }
        if queue.jobs.len() >= MAX_WAITING {
            drop(queue);
            let reason = format!("{MAX_WAITING} checks are waiting for the server already");
            return job.answer(Err(Failure::Odd(reason)));
        }
        queue.jobs.push_back(job);
        self.take_off(queue);
    }

    /// Takes jobs on their way again, before those that wait.
    pub(super) fn resubmit(self: &Arc<Self>, jobs: Vec<Job>) {
        let mut queue = self.lock();
        for job in jobs.into_iter().rev() {
            queue.jobs.push_front(job);
        }
        self.take_off(queue);
    }

    fn take_off(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>) {
        if !queue.flying && !queue.jobs.is_empty() {
            queue.flying = true;
            drop(queue);
            // The guard is made before the task runs, so that it is there even if it never does.
            tokio::spawn(fly(Flying { lane: Arc::clone(self), has_landed: false }));
        }
    }

    /// Gives up those who wait: the flight has ended before its time.
    pub(super) fn abandon(&self) {
        let mut queue = self.lock();
        queue.flying = false;
        let jobs = std::mem::take(&mut queue.jobs);
        drop(queue);
        drop(jobs);
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.lock().jobs.is_empty()
    }

    /// The next jobs to carry, or `None` if there are none, and then nothing flies any more.
    pub(super) fn board(&self) -> Option<Vec<Job>> {
        let mut queue = self.lock();
        let mut bytes = 0;
        let mut batch = Vec::with_capacity(queue.jobs.len().min(MAX_CHECKS));
        while batch.len() < MAX_CHECKS
            && let Some(job) =
                queue.jobs.pop_front_if(|job| batch.is_empty() || bytes + job.len() <= MAX_BYTES)
        {
            if job.is_wanted() {
                bytes += job.len();
                batch.push(job);
            }
        }
        if batch.is_empty() {
            queue.flying = false;
            return None;
        }
        Some(batch)
    }

    /// Sends what had no effect again, where it belongs.
    pub(super) async fn resend(self: &Arc<Self>, failed: Vec<(Job, Failure)>, pause: Duration) {
        let wrong_server = |failure: &Failure| matches!(failure, Failure::Elsewhere(_));
        if failed.iter().any(|(_, failure)| wrong_server(failure)) {
            self.link.discard().await;
        }
        let at_once = |failure: &Failure| {
            matches!(failure, Failure::NoScript | Failure::Moved(_) | Failure::Ask(_))
        };
        if !failed.iter().all(|(_, failure)| at_once(failure)) || pause > SHORTEST_PAUSE * 8 {
            sleep(pause).await;
        }
        match self.cluster.as_ref().and_then(Weak::upgrade) {
            Some(cluster) => cluster.redirect(self, failed).await,
            None => self.resubmit(failed.into_iter().map(|(job, _)| job).collect()),
        }
    }

    /// One more call, which carries so many checks.
    pub(super) fn count_trip(&self, checks: usize) {
        self.trips.fetch_add(1, Ordering::Relaxed);
        self.carried.fetch_add(checks as u64, Ordering::Relaxed);
    }

    pub(super) fn count(&self, stats: &mut RedisStats) {
        stats.round_trips += self.trips.load(Ordering::Relaxed);
        stats.checks += self.carried.load(Ordering::Relaxed);
        stats.queued += self.lock().jobs.len();
        self.link.count(stats);
    }

    /// One command beside the flights.
    pub(super) async fn ask(&self, command: &Cmd, within: Duration) -> Result<Value, BackendError> {
        let asked = async {
            let mut connection = self.link.connection().await.map_err(Failure::into_error)?;
            let value = connection.send_packed_command(command).await;
            match value.and_then(Value::extract_error) {
                Ok(value) => Ok(value),
                Err(error) => Err(Failure::of_sent(&error).into_error()),
            }
        };
        match tokio::time::timeout(within, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(BackendError::not_executed("the server does not answer")),
        }
    }

    /// Takes nothing more, and waits until all is answered.
    pub(super) async fn close(&self) {
        loop {
            let landed = self.landed.notified();
            {
                let mut queue = self.lock();
                queue.closed = true;
                if !queue.flying {
                    break;
                }
            }
            landed.await;
        }
        self.link.close().await;
    }

    /// Nothing panics while it holds this lock, and if it did, the jobs would still be whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use redis::ConnectionAddr;
    use tokio::time::Instant;

    use super::*;
    use crate::Check;
    use crate::backend::Operation;
    use crate::backend::redis::connect::{Access, Place};
    use crate::backend::redis::job::Ticket;
    use crate::backend::redis::script::Plan;
    use crate::{Execution, Policy, Quota};

    fn lane() -> Arc<Lane> {
        let access = Access {
            username: None,
            password: None,
            database: 0,
            tls: false,
            ca_certificate: None,
            pool_size: 1,
        };
        let nowhere = Place::At(ConnectionAddr::Unix("/nowhere".into()));
        Lane::new(Source::new(access, nowhere), None, None)
    }

    fn job() -> (Job, Ticket) {
        let policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));
        let plan = Plan::of(&Operation::charge(Check::new(&policy, "s", 1)));
        Job::new(Box::default(), plan, 0, Instant::now() + Duration::from_secs(60))
    }

    #[tokio::test]
    async fn a_flight_that_has_landed_leaves_the_next_alone() {
        let lane = lane();
        let (job, ticket) = job();
        lane.lock().jobs.push_back(job);
        lane.lock().flying = true;
        drop(Flying { lane: Arc::clone(&lane), has_landed: true });
        assert!(lane.lock().flying && lane.lock().jobs.len() == 1);
        // One that ends before, with its runtime, tells those who wait.
        drop(Flying { lane: Arc::clone(&lane), has_landed: false });
        assert!(!lane.lock().flying && lane.lock().jobs.is_empty());
        let error = ticket.answer().await.unwrap_err();
        assert_eq!(error.execution(), Execution::NotExecuted);
    }

    #[tokio::test]
    async fn what_was_called_off_does_not_board() {
        let lane = lane();
        let (mut waiting, mut called_off) = (Vec::new(), Vec::new());
        for number in 0..300 {
            let (job, ticket) = job();
            lane.lock().jobs.push_back(job);
            if number % 2 == 0 { waiting.push(ticket) } else { called_off.push(ticket) }
        }
        drop(called_off);
        assert_eq!(lane.board().map(|batch| batch.len()), Some(MAX_CHECKS));
        assert_eq!(lane.board().map(|batch| batch.len()), Some(150 - MAX_CHECKS));
        assert!(lane.board().is_none());
    }

    #[tokio::test]
    async fn a_full_queue_says_so() {
        let lane = lane();
        // As if a call were under way.
        lane.lock().flying = true;
        let mut tickets = Vec::new();
        for _ in 0..MAX_WAITING {
            let (job, ticket) = job();
            lane.submit(job);
            tickets.push(ticket);
        }
        let (job, ticket) = job();
        lane.submit(job);
        let error = ticket.answer().await.unwrap_err();
        assert_eq!(error.execution(), Execution::NotExecuted);
        assert!(error.to_string().contains("16384 checks are waiting"), "{error}");
        assert!(error.is_rejection(), "it says nothing of the server");
    }
}
