//! Shared round trips. While one call to a server is under way, checks queue, and leave together
//! when it has landed: no timer, in the order of their coming.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::cluster::Cluster;
use super::connect::{Held, Source};
use super::failure::Failure;
use super::job::Job;
use super::landed::{Call, Landed};
use super::script;
use super::stats::RedisStats;
use crate::{BackendError, Clock, telemetry};

/// The most checks in one call, so that it keeps the server from others for about a
/// millisecond at most.
const MAX_CHECKS: usize = 128;
/// The most bytes of keys and arguments in one call.
const MAX_BYTES: usize = 64 * 1024;
/// The most checks that wait for one server. Those beyond are answered at once that they were
/// not executed.
const MAX_WAITING: usize = 16 * 1024;

const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// The way to one server. One flight at a time, in a task of its own, which exists only while
/// there is something to carry.
pub(super) struct Lane {
    source: Source,
    /// The time to decide by, in tests.
    virtual_time: Option<Arc<dyn Clock>>,
    /// Knows other ways, if there are any.
    cluster: Option<Weak<Cluster>>,
    queue: Mutex<Queue>,
    held: tokio::sync::Mutex<Option<Held>>,
    /// Attempts to connect for which no check waits any more.
    attempts: Mutex<Vec<AbortHandle>>,
    landed: Notify,
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
            source,
            virtual_time,
            cluster,
            queue: Mutex::default(),
            held: tokio::sync::Mutex::default(),
            attempts: Mutex::default(),
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

    fn has_waiting(&self) -> bool {
        !self.lock().jobs.is_empty()
    }

    /// The next jobs to carry, or `None` if there are none, and then nothing flies any more.
    fn board(&self) -> Option<Vec<Job>> {
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

    /// Carries the jobs to the server, and brings what it says back.
    async fn carry(self: &Arc<Self>, batch: Vec<Job>, load: bool) -> Landed {
        let last = batch.iter().map(|job| job.deadline).max();
        let mut connection = match self.connection_by(last.unwrap_or_else(Instant::now)).await {
            Ok(connection) => connection,
            Err(failure) => {
                return Landed { calls: self.calls(batch), values: Vec::new(), failure };
            }
        };
        let batch: Vec<Job> = batch.into_iter().filter(Job::mark_sent).collect();
        let calls = self.calls(batch);
        let jobs = || calls.iter().flat_map(|call| &call.jobs);
        let unknown = |reason: &str| Failure::Unknown(reason.to_owned());
        let Some(deadline) = jobs().map(|job| job.deadline).max() else {
            return Landed { calls, values: Vec::new(), failure: unknown("nobody asks") };
        };
        let (since, checks) = (Instant::now(), jobs().count());
        self.trips.fetch_add(1, Ordering::Relaxed);
        self.carried.fetch_add(checks as u64, Ordering::Relaxed);
        let micros = self.virtual_time.as_ref().map(|clock| clock.now_micros());
        let sent = timeout_at(deadline, send(&mut connection, &calls, load, micros)).await;
        telemetry::round_trip(checks, since.elapsed());
        let (values, failure) = match sent {
            Ok(Ok(values)) => (values, unknown("the server answered too little")),
            Ok(Err(error)) => (Vec::new(), Failure::of_sent(&error)),
            Err(_) => (Vec::new(), unknown("no answer before the deadline")),
        };
        if values.is_empty() && !failure.may_be_resent() {
            // Whatever still comes through it answers what nobody asks any more.
            self.discard().await;
        }
        Landed { calls, values, failure }
    }

    /// A single server gets one call; a node of a cluster one for each slot.
    fn calls(&self, batch: Vec<Job>) -> Vec<Call> {
        if self.cluster.is_none() {
            return vec![Call { slot: 0, asking: false, alone: false, jobs: batch }];
        }
        let mut calls: Vec<Call> = Vec::new();
        for job in batch {
            let shared = |call: &&mut Call| !call.alone && !call.asking && call.slot == job.slot;
            if !job.alone
                && !job.asking
                && let Some(call) = calls.iter_mut().find(shared)
            {
                call.jobs.push(job);
            } else {
                let Job { slot, asking, alone, .. } = job;
                calls.push(Call { slot, asking, alone, jobs: vec![job] });
            }
        }
        calls
    }

    /// The connection in use, or another one. If that takes too long it is made nevertheless,
    /// for later flights, which do not wait for it if they find another sooner: a server that
    /// hangs and comes back need not answer who called while it hung.
    async fn connection_by(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<MultiplexedConnection, Failure> {
        if let Some(connection) = self.present().await {
            return Ok(connection);
        }
        let lane = Arc::clone(self);
        let mut connecting = Box::pin(async move { lane.connect().await });
        if let Ok(connection) = timeout_at(deadline, &mut connecting).await {
            return connection;
        }
        self.go_on(tokio::spawn(connecting).abort_handle());
        Err(Failure::Unconnected("no connection before the deadline".to_owned()))
    }

    /// Lets an attempt to connect go on in the background. Of those that hang the oldest may
    /// take all its time, and the newest may be luckier: no more, for the pool's sake.
    fn go_on(&self, attempt: AbortHandle) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.retain(|attempt| !attempt.is_finished());
        if attempts.len() > 1
            && let Some(newest) = attempts.pop()
        {
            newest.abort();
        }
        attempts.push(attempt);
    }

    /// The connection in use, or another one.
    pub(super) async fn connection(&self) -> Result<MultiplexedConnection, Failure> {
        match self.present().await {
            Some(connection) => Ok(connection),
            None => self.connect().await,
        }
    }

    /// The connection in use, if nothing speaks against it.
    async fn present(&self) -> Option<MultiplexedConnection> {
        let mut held = self.held.lock().await;
        if let Some(held) = &*held
            && self.source.trusts(held)
        {
            return Some(held.shared());
        }
        // Back to its pool, which tests it before it gives it out again.
        *held = None;
        None
    }

    /// Another one. If several are made at a time the last is used, and the pool has the rest.
    async fn connect(&self) -> Result<MultiplexedConnection, Failure> {
        let since = Instant::now();
        let fresh = self.source.connect().await?;
        telemetry::connected(since.elapsed());
        let shared = fresh.shared();
        *self.held.lock().await = Some(fresh);
        Ok(shared)
    }

    pub(super) async fn discard(&self) {
        if let Some(held) = self.held.lock().await.take() {
            held.discard();
        }
    }

    /// Sends what had no effect again, where it belongs.
    async fn resend(self: &Arc<Self>, failed: Vec<(Job, Failure)>, pause: Duration) {
        let wrong_server = |failure: &Failure| matches!(failure, Failure::Elsewhere(_));
        if failed.iter().any(|(_, failure)| wrong_server(failure)) {
            self.discard().await;
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

    pub(super) fn count(&self, stats: &mut RedisStats) {
        stats.round_trips += self.trips.load(Ordering::Relaxed);
        stats.checks += self.carried.load(Ordering::Relaxed);
        stats.queued += self.lock().jobs.len();
        self.source.count(stats);
    }

    /// Where the server was last found.
    pub(super) fn address(&self) -> Option<String> {
        self.source.address()
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
        *self.held.lock().await = None;
        self.source.close();
    }

    /// Nothing panics while it holds this lock, and if it did, the jobs would still be whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What flies; if it ends before its time, with its runtime, those who wait learn of it and
/// the next one starts anew.
struct Flying {
    lane: Arc<Lane>,
    /// Whether it has found nothing more to carry. From then on the next flight may be
    /// under way already.
    has_landed: bool,
}

impl Drop for Flying {
    fn drop(&mut self) {
        if !self.has_landed {
            let mut queue = self.lane.lock();
            queue.flying = false;
            let jobs = std::mem::take(&mut queue.jobs);
            drop(queue);
            drop(jobs);
        }
        self.lane.landed.notify_waiters();
    }
}

async fn fly(mut flying: Flying) {
    let lane = Arc::clone(&flying.lane);
    let mut pause = SHORTEST_PAUSE;
    let mut load = false;
    let mut landed: Option<Landed> = None;
    let mut again = Vec::new();
    loop {
        // Those who wait leave before the answers are handed out, so that the server need not stand
        // idle meanwhile; but after what has to be sent again.
        let is_plain = |landed: &mut Landed| landed.is_answered() && lane.has_waiting();
        if let Some(landed) = landed.take_if(|landed| !again.is_empty() || !is_plain(landed)) {
            again.extend(landed.deliver());
            load = again.iter().any(|(_, failure)| matches!(failure, Failure::NoScript));
            if again.is_empty() {
                pause = SHORTEST_PAUSE;
            } else {
                lane.resend(std::mem::take(&mut again), pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
        let Some(batch) = lane.board() else { break };
        let handed_out = async {
            let Some(landed) = landed.take() else { return Vec::new() };
            // The driver writes the call meanwhile.
            tokio::task::yield_now().await;
            landed.deliver()
        };
        let (next, failed) = tokio::join!(lane.carry(batch, load), handed_out);
        (landed, again) = (Some(next), failed);
    }
    flying.has_landed = true;
    // Whoever waited has given up, so these have not been handed out.
    if let Some(landed) = landed {
        let failed = landed.deliver();
        lane.resubmit(failed.into_iter().map(|(job, _)| job).collect());
    }
}

/// Sends all calls in one write.
async fn send(
    connection: &mut MultiplexedConnection,
    calls: &[Call],
    load: bool,
    micros: Option<u64>,
) -> RedisResult<Vec<Value>> {
    let command = |call: &Call| -> Cmd {
        script::call(call.jobs.iter().map(|job| (&*job.key, &job.plan)), micros)
    };
    if let [call] = calls
        && !call.asking
        && !load
    {
        return Ok(vec![connection.send_packed_command(&command(call)).await?]);
    }
    let mut pipeline = Pipeline::with_capacity(calls.len() + 1);
    if load {
        pipeline.add_command(script::load());
    }
    for call in calls {
        if call.asking {
            pipeline.cmd("ASKING");
        }
        pipeline.add_command(command(call));
    }
    let count = pipeline.len();
    let mut values = connection.send_packed_commands(&pipeline, 0, count).await?;
    if load && !values.is_empty() {
        values.remove(0);
    }
    Ok(values)
}

impl Lane {
    /// One command beside the flights.
    pub(super) async fn ask(&self, command: &Cmd, within: Duration) -> Result<Value, BackendError> {
        let asked = async {
            let mut connection = self.connection().await.map_err(Failure::into_error)?;
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
}

#[cfg(test)]
mod tests {
    use redis::ConnectionAddr;

    use super::*;
    use crate::backend::redis::connect::{Access, Place};
    use crate::backend::redis::job::Ticket;
    use crate::backend::redis::script::Plan;
    use crate::backend::{Action, Operation};
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
        let action = Action::Charge { cost: 1 };
        let plan = Plan::of(&Operation { policy: &policy, subject: "s", action });
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
