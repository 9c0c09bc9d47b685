//! The worker of a node. While the server keeps up, a request is sent at once, behind the calls that
//! are on their way. Otherwise, requests wait in the queue, and are sent together as soon as a reply
//! is there: without a timer, in the order of their arrival.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::batch::{self, ScriptCall};
use super::connector::SharedHandle;
use super::failure::RequestError;
use super::flight::Flight;
use super::lone_caller;
use super::mode;
use super::node::Node;
use super::pace::Departure;
use super::reply::BatchReply;
use super::request::Request;
use super::round_trip::RoundTrip;

const MIN_BACKOFF: Duration = Duration::from_millis(1);
const MAX_BACKOFF: Duration = Duration::from_millis(50);

impl Node {
    /// Adds a request to the end of the queue.
    pub(super) fn submit(self: &Arc<Self>, request: Request) {
        request.wait_at(&self.connection.trouble);
        if self.queue.push_back(request) {
            self.spawn_worker();
        }
    }

    /// Puts requests that are to be sent again at the front of the queue.
    pub(super) fn resubmit(self: &Arc<Self>, requests: Vec<Request>) {
        if self.queue.push_front(requests) {
            self.spawn_worker();
        }
    }

    /// Starts the worker, which runs only while there is something to send.
    fn spawn_worker(self: &Arc<Self>) {
        // The guard is created before the task runs, so that it is dropped even if the task never
        // runs.
        let guard = WorkerGuard { node: Arc::clone(self), is_done: false };
        match self.driver.get() {
            Ok(driver) => drop(driver.spawn(run(guard))),
            Err(failure) => self.connection.trouble.set_unconnected(Some(failure.reason())),
        }
    }

    /// Starts a worker that takes the direct call over, unless one has been started.
    pub(super) fn start_to_take_over(self: &Arc<Self>) {
        if self.queue.take_direct_over() {
            self.spawn_worker();
        }
    }

    /// Delivers the reply of a call. Returns the requests to send again, each with its failure. What
    /// the server said is noted as its trouble also if nobody waits for it any more.
    pub(super) fn deliver(&self, reply: BatchReply) -> Vec<(Request, RequestError)> {
        let is_answered = !reply.values.is_empty();
        let mut failed = reply.deliver();
        match failed.last() {
            // The connection has noted it.
            Some((_, RequestError::Unconnected(_))) => {}
            Some((_, RequestError::Deferred)) => self.connection.trouble.set_failed(None),
            Some((_, error)) => self.connection.trouble.set_failed(Some(error.reason())),
            None if is_answered => self.connection.trouble.set_failed(None),
            None => {}
        }
        failed.retain(|(request, _)| request.is_wanted());
        failed
    }

    /// Notes the reply to the first call for the pace of those after it.
    pub(super) fn note(&self, reply: &BatchReply) {
        let (now, mut pace) = (Instant::now(), self.pace());
        match reply.carried_out() {
            _ if reply.is_answered() => pace.answer(now),
            (_, deferred) if deferred > 0 => pace.defer(now),
            _ => pace.fail(),
        }
    }

    /// Returns the calls that carry out requests.
    pub(super) fn calls(&self, batch: Vec<Request>) -> Vec<ScriptCall> {
        match self.router {
            Some(_) => batch::calls_by_slot(batch),
            None => batch::single_call(batch),
        }
    }

    /// Returns the maximum number of checks in the next call. If the connection has been silent for
    /// a while, nobody knows if it is still there. Then one check goes first, and the others follow
    /// on its answer, or on another connection.
    fn most_checks(&self) -> usize {
        if self.pace().is_silent(Instant::now()) {
            return 1;
        }
        self.batch_limit.load(Ordering::Relaxed)
    }

    /// Returns the time from which others may overtake a call: after a part of the time that is left,
    /// unless the last answers took long.
    fn patient_until(&self, deadline: Instant) -> Instant {
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let usual = self.last_round_trip().map_or(Duration::ZERO, |round_trip| round_trip * 4);
        now + usual.clamp(left / 4, left / 2)
    }
}

/// A guard that ends a worker when it is dropped. If the worker is stopped early, along with its
/// thread, the guard fails the pending requests, and the next request starts a new worker.
pub(super) struct WorkerGuard {
    pub(super) node: Arc<Node>,
    /// `true` once the worker has found nothing more to send. From then on the next worker may be
    /// running already.
    pub(super) is_done: bool,
}

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        if !self.is_done {
            self.node.queue.fail_pending();
        }
        self.node.queue.notify_idle();
    }
}

/// Sends the queued requests, batch after batch, until the queue is empty and all are answered.
async fn run(mut guard: WorkerGuard) {
    let mut worker = Worker::new(Arc::clone(&guard.node));
    worker.take_over().await;
    loop {
        let has_sent = worker.follow().await;
        if let Some(reply) = worker.undelivered.take() {
            if has_sent {
                // This lets the Redis driver write the next call before the replies are delivered.
                tokio::task::yield_now().await;
            }
            worker.deliver(reply);
        } else if !has_sent && !worker.flight.is_empty() {
            worker.wait().await;
        } else if !has_sent && !worker.failed.is_empty() {
            worker.send_again().await;
        } else if !has_sent {
            let Some(batch) = worker.node.queue.next_batch(worker.node.most_checks()) else {
                break;
            };
            worker.lead(batch).await;
        }
    }
    guard.is_done = true;
}

/// The state of a worker.
struct Worker {
    node: Arc<Node>,
    flight: Flight,
    /// A reply that is yet to be delivered. The next call is sent first, so that the server is not
    /// idle meanwhile.
    undelivered: Option<BatchReply>,
    /// The requests of the calls on their way that have to be sent again, in their order. Nothing
    /// else is sent before them.
    failed: Vec<(Request, RequestError)>,
    load_script: bool,
    backoff: Duration,
}

impl Worker {
    fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            flight: Flight::default(),
            undelivered: None,
            failed: Vec::new(),
            load_script: false,
            backoff: MIN_BACKOFF,
        }
    }

    /// Takes over the call that its caller carries out, if there is one.
    async fn take_over(&mut self) {
        let Some(call) = self.node.take_direct() else {
            // A worker before this one may have been stopped early.
            return self.node.pace().abandon();
        };
        let (connection, deadline) = (call.connection, call.deadline);
        self.flight.patient_until = Some(self.node.patient_until(deadline));
        let rest = lone_caller::carry_on(Arc::clone(&self.node), call);
        self.flight.start(connection, deadline, rest).await;
    }

    /// Sends the next batch over the present connection, behind the calls on their way, if it is its
    /// turn. Returns `true` if it was sent.
    async fn follow(&mut self) -> bool {
        let has_failed = self.undelivered.as_ref().is_some_and(|reply| !reply.is_answered());
        if has_failed || !self.failed.is_empty() || self.node.queue.is_empty() {
            return false;
        }
        if self.node.pace().departure(Instant::now()) != Departure::Now {
            return false;
        }
        let Some(handle) = self.node.connection.current().await else { return false };
        if !self.flight.is_empty() && handle.id != self.flight.connection() {
            return false;
        }
        let batch = self.node.queue.take(self.node.most_checks());
        if !batch.is_empty() {
            if self.flight.is_empty() {
                self.node.connection.trouble.begin();
            }
            self.send(handle, batch).await;
            return true;
        }
        false
    }

    /// Sends a batch when no call is on its way, over a new connection if there is none.
    async fn lead(&mut self, batch: Vec<Request>) {
        depend(&batch, self.node.connection.trouble.begin());
        match self.node.connection.get_by(last_deadline(&batch)).await {
            Ok(handle) => self.send(handle, batch).await,
            Err(failure) => {
                let calls = self.node.calls(batch);
                self.undelivered = Some(BatchReply { calls, values: Vec::new(), failure });
            }
        }
    }

    /// Sends a batch over a connection. The calls that are on their way there at a time are one
    /// event: if the connection fails, they fail by it.
    async fn send(&mut self, handle: SharedHandle, batch: Vec<Request>) {
        depend(&batch, self.node.connection.trouble.event());
        let batch: Vec<Request> = batch.into_iter().filter(Request::mark_sent).collect();
        if batch.is_empty() {
            return;
        }
        let (deadline, checks) = (last_deadline(&batch), batch.len());
        let calls = self.node.calls(batch);
        self.node.pace().connect(handle.id);
        self.node.pace().send(Instant::now(), calls.len(), checks);
        let is_alone = self.flight.is_empty() && checks == 1;
        self.node.count_alone(is_alone);
        if self.flight.is_empty() {
            self.flight.patient_until = Some(self.node.patient_until(deadline));
        }
        let (id, load_script) = (handle.id, std::mem::take(&mut self.load_script));
        let sending = send_batch(Arc::clone(&self.node), handle, calls, load_script);
        self.flight.start(id, deadline, sending).await;
    }

    /// Waits for the first reply, or for what comes before it: a check that may leave, or the end of
    /// the patience with a call that hangs.
    async fn wait(&mut self) {
        let Self { node, flight, .. } = self;
        let patient_until = flight.patient_until;
        let is_patient = patient_until.is_some_and(|until| Instant::now() < until);
        let hangs = patient_until.is_some() && !is_patient;
        if hangs && (!node.queue.is_empty() || !self.failed.is_empty()) {
            return self.overtake().await;
        }
        let may_send = self.failed.is_empty()
            && node.pace().departure(Instant::now()) != Departure::AfterAnswer;
        let patience = sleep_until(patient_until.unwrap_or_else(Instant::now));
        tokio::select! {
            biased;
            reply = flight.first_reply() => {
                node.note(&reply);
                if !node.queue.is_empty() {
                    node.count_alone(false);
                }
                flight.patient_until = flight.deadline().map(|last| node.patient_until(last));
                self.undelivered = Some(reply);
            }
            () = patience, if is_patient => {}
            () = node.queue.added(), if hangs || may_send => {}
        }
    }

    /// Moves to a new connection, because the first call hangs and others wait. The replies to the
    /// calls on their way are delivered in the background. If too many are already, waits for them.
    async fn overtake(&mut self) {
        if !self.node.try_overtake() {
            self.flight.patient_until = None;
            return;
        }
        self.node.connection.discard(self.flight.connection()).await;
        self.node.pace().abandon();
        let (node, mut flight) = (Arc::clone(&self.node), std::mem::take(&mut self.flight));
        tokio::spawn(async move {
            let mut failed = Vec::new();
            while !flight.is_empty() {
                failed.extend(node.deliver(flight.first_reply().await));
            }
            if !failed.is_empty() {
                resend(&node, failed, MIN_BACKOFF).await;
            }
            node.end_overtaken();
        });
    }

    /// Delivers a reply, and keeps what has to be sent again.
    fn deliver(&mut self, reply: BatchReply) {
        let failed = self.node.deliver(reply);
        if failed.is_empty() && self.failed.is_empty() {
            self.backoff = MIN_BACKOFF;
        }
        self.failed.extend(failed);
    }

    /// Sends again what has to be. No call is on its way any more.
    async fn send_again(&mut self) {
        let failed = std::mem::take(&mut self.failed);
        self.load_script = failed.iter().any(|(_, error)| matches!(error, RequestError::NoScript));
        if failed.iter().all(|(_, error)| matches!(error, RequestError::Deferred)) {
            self.backoff = MIN_BACKOFF;
            self.node.resubmit(failed.into_iter().map(|(request, _)| request).collect());
        } else {
            resend(&self.node, failed, self.backoff).await;
            self.backoff = MAX_BACKOFF.min(self.backoff * 2);
        }
    }
}

/// Sets the event of requests, except of those whose time is over: an earlier one has failed them.
fn depend(batch: &[Request], event: u64) {
    let now = Instant::now();
    batch.iter().filter(|it| it.deadline > now).for_each(|request| request.set_event(event));
}

/// Returns the latest deadline of the requests.
fn last_deadline(batch: &[Request]) -> Instant {
    batch.iter().map(|request| request.deadline).max().unwrap_or_else(Instant::now)
}

/// Sends calls over a connection, and returns the replies.
async fn send_batch(
    node: Arc<Node>,
    mut handle: SharedHandle,
    calls: Vec<ScriptCall>,
    load_script: bool,
) -> BatchReply {
    let requests = || calls.iter().flat_map(|call| &call.requests);
    let unknown = |reason: &str| RequestError::Unknown(reason.to_owned());
    let Some(deadline) = requests().map(|request| request.deadline).max() else {
        return BatchReply { calls, values: Vec::new(), failure: unknown("nobody asks") };
    };
    let trip =
        RoundTrip { connection: handle.id, since: Instant::now(), checks: requests().count() };
    node.record_round_trip(trip.checks);
    let micros = node.virtual_time.as_ref().map(|clock| clock.now_micros());
    let owed = handle.connection.owe();
    let sent = batch::send(&mut handle.connection, &calls, load_script, micros);
    let sent = timeout_at(deadline, sent).await;
    if let (Some(owed), Ok(_)) = (owed, &sent) {
        owed.paid();
    }
    trip.end(&node, calls, sent).await
}

/// Sends requests again that had no effect, to the servers that now serve them.
async fn resend(node: &Arc<Node>, failed: Vec<(Request, RequestError)>, backoff: Duration) {
    let is_wrong_server = |error: &RequestError| matches!(error, RequestError::WrongServer(_));
    if failed.iter().any(|(_, error)| is_wrong_server(error)) {
        node.connection.discard_current().await;
    }
    let is_immediate = |error: &RequestError| {
        matches!(
            error,
            RequestError::NoScript
                | RequestError::Deferred
                | RequestError::Moved(_)
                | RequestError::Ask(_)
        )
    };
    if !failed.iter().all(|(_, error)| is_immediate(error)) || backoff > MIN_BACKOFF * 8 {
        sleep(backoff).await;
    }
    match node.router.as_ref().and_then(Weak::upgrade) {
        Some(router) => router.reroute(node, failed).await,
        None => node.resubmit(at_single_server(node, failed)),
    }
}

/// Returns the requests that may be sent to a single server again. A server that sends them elsewhere
/// is a node of a cluster, and would go on to do so.
fn at_single_server(node: &Node, failed: Vec<(Request, RequestError)>) -> Vec<Request> {
    let is_elsewhere = |(_, error): &(Request, RequestError)| {
        matches!(error, RequestError::Moved(_) | RequestError::Ask(_))
    };
    let (elsewhere, here): (Vec<_>, Vec<_>) = failed.into_iter().partition(is_elsewhere);
    for (request, error) in elsewhere {
        let reason = format!("{}: {}", error.reason(), mode::named_as_single(node));
        request.respond(Err(RequestError::Permanent(reason)));
    }
    here.into_iter().map(|(request, _)| request).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::redis::address::ServerAddress;
    use crate::backend::redis::connect_options::ConnectOptions;
    use crate::backend::redis::connector::{Connector, Endpoint};
    use crate::backend::redis::credentials::{CredentialSettings, CredentialSource};
    use crate::backend::redis::request::ReplyReceiver;
    use crate::backend::redis::script::{Keys, Plan};
    use crate::error::Execution;
    use crate::operation::Operation;
    use crate::{Check, Policy, Quota};

    fn node() -> Arc<Node> {
        let options = ConnectOptions {
            credentials: CredentialSource::Settings(CredentialSettings::default()),
            database: 0,
            tls: None,
            pool_size: 1,
            max_age: Duration::from_secs(60),
        };
        let nowhere = Endpoint::Address(ServerAddress::Socket("/nowhere".into()));
        Node::new(Connector::new(options, nowhere), None, None)
    }

    fn request() -> (Request, ReplyReceiver) {
        let policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));
        let plan = Plan::of(&Operation::charge(Check::new(&policy, "s", 1)));
        Request::new(Keys::default(), plan, 0, Instant::now() + Duration::from_secs(60))
    }

    #[tokio::test]
    async fn a_worker_that_is_done_leaves_the_next_one_alone() {
        let node = node();
        let (request, receiver) = request();
        // Pretends that the next worker is running.
        assert!(node.queue.push_back(request), "a worker is to be started");
        drop(WorkerGuard { node: Arc::clone(&node), is_done: true });
        assert!(node.queue.has_worker() && node.queue.len() == 1);
        // A worker that is stopped early, with its runtime, fails the pending requests.
        drop(WorkerGuard { node: Arc::clone(&node), is_done: false });
        assert!(!node.queue.has_worker() && node.queue.is_empty());
        let error = receiver.receive().await.unwrap_err();
        assert_eq!(error.execution(), Execution::NotExecuted);
    }
}
