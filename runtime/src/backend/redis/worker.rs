//! The worker of a node. While one call is at the server, further requests wait in the queue. They
//! are sent together as soon as the reply is there: without a timer, in the order of their arrival.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::batch::{self, ScriptCall};
use super::connector::SharedHandle;
use super::failure::RequestError;
use super::mode;
use super::node::Node;
use super::queue::MAX_CHECKS;
use super::reply::BatchReply;
use super::request::Request;
use super::trouble::Measured;

const MIN_BACKOFF: Duration = Duration::from_millis(1);
const MAX_BACKOFF: Duration = Duration::from_millis(50);

/// The time after which a connection that has answered nothing may be gone.
const SILENCE: Duration = Duration::from_millis(1);

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

    /// Delivers the reply of a call. Returns the requests to send again, each with its failure. What
    /// the server said is noted as its trouble also if nobody waits for it any more.
    fn deliver(&self, reply: BatchReply) -> Vec<(Request, RequestError)> {
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

    /// Returns the maximum number of checks in the next call. If the connection has been silent for
    /// a while, nobody knows if it is still there. Then one check goes first, and the others follow
    /// on its answer, or on another connection.
    fn most_checks(&self) -> usize {
        match self.last_answer() {
            Some((since, _)) if since < SILENCE => self.batch_limit.load(Ordering::Relaxed),
            _ => 1,
        }
    }

    /// Adapts the size of calls to the number of checks that the server carries out in one.
    fn pace(&self, reply: &BatchReply) {
        let limit = self.batch_limit.load(Ordering::Relaxed);
        let limit = match reply.carried_out() {
            (checks, 0) if checks < limit => return,
            (_, 0) => limit * 2,
            (checks, deferred) => checks - deferred,
        };
        self.batch_limit.store(limit.clamp(1, MAX_CHECKS), Ordering::Relaxed);
    }

    /// Returns the time that a call may take before others overtake it: a part of the time that is
    /// left, unless the last answers took long.
    fn patience(&self, deadline: Instant) -> Duration {
        let left = deadline.saturating_duration_since(Instant::now());
        let usual = self.last_answer().map_or(Duration::ZERO, |(_, round_trip)| round_trip * 4);
        usual.clamp(left / 4, left / 2)
    }
}

/// A guard that ends a worker when it is dropped. If the worker is stopped early, along with its
/// thread, the guard fails the pending requests, and the next request starts a new worker.
struct WorkerGuard {
    node: Arc<Node>,
    /// `true` once the worker has found nothing more to send. From then on the next worker may be
    /// running already.
    is_done: bool,
}

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        if !self.is_done {
            self.node.queue.fail_pending();
        }
        self.node.queue.notify_idle();
    }
}

/// Sends the queued requests, batch after batch, until the queue is empty.
async fn run(mut guard: WorkerGuard) {
    let node = Arc::clone(&guard.node);
    let mut backoff = MIN_BACKOFF;
    let mut load_script = false;
    let mut undelivered: Option<BatchReply> = None;
    let mut retry = Vec::new();
    loop {
        // Pipelining: the next batch is sent before the last replies are delivered, so that the
        // server is not idle meanwhile. Requests that have to be sent again go first, to preserve
        // the order.
        let may_wait = |reply: &BatchReply| reply.is_answered() && !node.queue.is_empty();
        if let Some(reply) = undelivered.take_if(|reply| !retry.is_empty() || !may_wait(reply)) {
            retry.extend(node.deliver(reply));
            load_script = retry.iter().any(|(_, error)| matches!(error, RequestError::NoScript));
            let is_deferred =
                |(_, error): &(Request, RequestError)| matches!(error, RequestError::Deferred);
            if retry.iter().all(is_deferred) {
                backoff = MIN_BACKOFF;
                node.resubmit(retry.drain(..).map(|(request, _)| request).collect());
            } else {
                resend(&node, std::mem::take(&mut retry), backoff).await;
                backoff = MAX_BACKOFF.min(backoff * 2);
            }
        }
        let Some(batch) = node.queue.next_batch(node.most_checks()) else { break };
        let delivered = async {
            let Some(reply) = undelivered.take() else { return Vec::new() };
            // This lets the Redis driver write the next call before the replies are delivered.
            tokio::task::yield_now().await;
            node.deliver(reply)
        };
        (undelivered, retry) = tokio::join!(exchange(&node, batch, load_script), delivered);
    }
    guard.is_done = true;
    // The requests that were still queued had all been cancelled, so these replies were not
    // delivered above.
    if let Some(reply) = undelivered {
        let failed = node.deliver(reply);
        node.resubmit(failed.into_iter().map(|(request, _)| request).collect());
    }
}

/// Sends a batch to the server, and returns its reply. Returns `None` if the reply takes long while
/// others wait: then they overtake the batch on a new connection, and its reply is delivered in the
/// background.
async fn exchange(node: &Arc<Node>, batch: Vec<Request>, load_script: bool) -> Option<BatchReply> {
    let event = node.connection.trouble.begin();
    batch.iter().for_each(|request| request.set_event(event));
    let last = batch.iter().map(|request| request.deadline).max().unwrap_or_else(Instant::now);
    let handle = match node.connection.get_by(last).await {
        Ok(handle) => handle,
        Err(failure) => {
            let calls = calls(node, batch);
            return Some(BatchReply { calls, values: Vec::new(), failure });
        }
    };
    let id = handle.id;
    let mut sending = Box::pin(send_batch(Arc::clone(node), handle, batch, load_script));
    if let Ok(reply) = timeout(node.patience(last), &mut sending).await {
        return Some(reply);
    }
    tokio::select! {
        biased;
        reply = &mut sending => return Some(reply),
        () = node.queue.filled() => {}
    }
    if !node.try_overtake() {
        return Some(sending.await);
    }
    node.connection.discard(id).await;
    let node = Arc::clone(node);
    tokio::spawn(async move {
        let failed = node.deliver(sending.await);
        if !failed.is_empty() {
            resend(&node, failed, MIN_BACKOFF).await;
        }
        node.end_overtaken();
    });
    None
}

/// Sends a batch over a connection, and returns its reply.
async fn send_batch(
    node: Arc<Node>,
    mut handle: SharedHandle,
    batch: Vec<Request>,
    load_script: bool,
) -> BatchReply {
    let batch: Vec<Request> = batch.into_iter().filter(Request::mark_sent).collect();
    let calls = calls(&node, batch);
    let requests = || calls.iter().flat_map(|call| &call.requests);
    let unknown = |reason: &str| RequestError::Unknown(reason.to_owned());
    let Some(deadline) = requests().map(|request| request.deadline).max() else {
        return BatchReply { calls, values: Vec::new(), failure: unknown("nobody asks") };
    };
    let (since, checks) = (Instant::now(), requests().count());
    node.record_round_trip(checks);
    let micros = node.virtual_time.as_ref().map(|clock| clock.now_micros());
    let sent = batch::send(&mut handle.connection, &calls, load_script, micros);
    let sent = timeout_at(deadline, sent).await;
    let is_answered = sent.is_ok();
    node.connection.trouble.measure(Measured::RoundTrip(checks, since.elapsed()));
    let (values, failure) = match sent {
        Ok(Ok(values)) => {
            node.record_answer(since.elapsed());
            (values, unknown("the server answered too little"))
        }
        Ok(Err(error)) => (Vec::new(), RequestError::from_driver(&error)),
        Err(_) => (Vec::new(), unknown("no answer before the deadline")),
    };
    if values.is_empty() && !failure.is_retryable() {
        // Replies that still arrive on this connection belong to requests that have already failed.
        node.connection.discard(handle.id).await;
        match is_answered {
            true => node.connection.trouble.set_failed(Some(failure.reason())),
            false => node.connection.trouble.set_unanswered(failure.reason()),
        }
        if let Some(router) = node.router.as_ref().and_then(Weak::upgrade) {
            router.refresh_soon();
        }
    }
    let reply = BatchReply { calls, values, failure };
    node.pace(&reply);
    reply
}

fn calls(node: &Node, batch: Vec<Request>) -> Vec<ScriptCall> {
    if node.router.is_none() { batch::single_call(batch) } else { batch::calls_by_slot(batch) }
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
    use crate::backend::redis::script::Plan;
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
        Request::new(Box::default(), plan, 0, Instant::now() + Duration::from_secs(60))
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
