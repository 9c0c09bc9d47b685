//! The worker of a node. While one call is at the server, further requests wait in the queue. They
//! are sent together as soon as the reply is there: without a timer, in the order of their arrival.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::batch::{self, ScriptCall};
use super::failure::RequestError;
use super::node::Node;
use super::reply::BatchReply;
use super::request::Request;
use crate::telemetry;

const MIN_BACKOFF: Duration = Duration::from_millis(1);
const MAX_BACKOFF: Duration = Duration::from_millis(50);

impl Node {
    /// Adds a request to the end of the queue.
    pub(super) fn submit(self: &Arc<Self>, request: Request) {
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
        tokio::spawn(run(WorkerGuard { node: Arc::clone(self), is_done: false }));
    }
}

/// A guard that ends a worker when it is dropped. If the worker is stopped early, along with its
/// runtime, the guard fails the pending requests, and the next request starts a new worker.
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
            retry.extend(reply.deliver());
            load_script = retry.iter().any(|(_, error)| matches!(error, RequestError::NoScript));
            if retry.is_empty() {
                backoff = MIN_BACKOFF;
            } else {
                resend(&node, std::mem::take(&mut retry), backoff).await;
                backoff = MAX_BACKOFF.min(backoff * 2);
            }
        }
        let Some(batch) = node.queue.next_batch() else { break };
        let delivered = async {
            let Some(reply) = undelivered.take() else { return Vec::new() };
            // This lets the Redis driver write the next call before the replies are delivered.
            tokio::task::yield_now().await;
            reply.deliver()
        };
        let (next, failed) = tokio::join!(send_batch(&node, batch, load_script), delivered);
        (undelivered, retry) = (Some(next), failed);
    }
    guard.is_done = true;
    // The requests that were still queued had all been cancelled, so these replies were not
    // delivered above.
    if let Some(reply) = undelivered {
        let failed = reply.deliver();
        node.resubmit(failed.into_iter().map(|(request, _)| request).collect());
    }
}

/// Sends a batch to the server, and returns its reply.
async fn send_batch(node: &Node, batch: Vec<Request>, load_script: bool) -> BatchReply {
    let last = batch.iter().map(|request| request.deadline).max();
    let mut connection = match node.connection.get_by(last.unwrap_or_else(Instant::now)).await {
        Ok(connection) => connection,
        Err(failure) => {
            return BatchReply { calls: calls(node, batch), values: Vec::new(), failure };
        }
    };
    let batch: Vec<Request> = batch.into_iter().filter(Request::mark_sent).collect();
    let calls = calls(node, batch);
    let requests = || calls.iter().flat_map(|call| &call.requests);
    let unknown = |reason: &str| RequestError::Unknown(reason.to_owned());
    let Some(deadline) = requests().map(|request| request.deadline).max() else {
        return BatchReply { calls, values: Vec::new(), failure: unknown("nobody asks") };
    };
    let (since, checks) = (Instant::now(), requests().count());
    node.record_round_trip(checks);
    let micros = node.virtual_time.as_ref().map(|clock| clock.now_micros());
    let sent = batch::send(&mut connection, &calls, load_script, micros);
    let sent = timeout_at(deadline, sent).await;
    telemetry::round_trip(checks, since.elapsed());
    let (values, failure) = match sent {
        Ok(Ok(values)) => (values, unknown("the server answered too little")),
        Ok(Err(error)) => (Vec::new(), RequestError::from_driver(&error)),
        Err(_) => (Vec::new(), unknown("no answer before the deadline")),
    };
    if values.is_empty() && !failure.is_retryable() {
        // Replies that still arrive on this connection belong to requests that have already failed.
        node.connection.discard().await;
    }
    BatchReply { calls, values, failure }
}

fn calls(node: &Node, batch: Vec<Request>) -> Vec<ScriptCall> {
    if node.router.is_none() { batch::single_call(batch) } else { batch::calls_by_slot(batch) }
}

/// Sends requests again that had no effect, to the servers that now serve them.
async fn resend(node: &Arc<Node>, failed: Vec<(Request, RequestError)>, backoff: Duration) {
    let is_wrong_server = |error: &RequestError| matches!(error, RequestError::WrongServer(_));
    if failed.iter().any(|(_, error)| is_wrong_server(error)) {
        node.connection.discard().await;
    }
    let is_immediate = |error: &RequestError| {
        matches!(error, RequestError::NoScript | RequestError::Moved(_) | RequestError::Ask(_))
    };
    if !failed.iter().all(|(_, error)| is_immediate(error)) || backoff > MIN_BACKOFF * 8 {
        sleep(backoff).await;
    }
    match node.router.as_ref().and_then(Weak::upgrade) {
        Some(router) => router.reroute(node, failed).await,
        None => node.resubmit(failed.into_iter().map(|(request, _)| request).collect()),
    }
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
        let credentials = CredentialSource::Settings(CredentialSettings::default());
        let options = ConnectOptions { credentials, database: 0, tls: None, pool_size: 1 };
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
