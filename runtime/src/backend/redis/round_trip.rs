//! A round trip to a server, and what follows from its end: for the connection, for what is told of
//! the server, and for the size of later calls.

use std::sync::Weak;
use std::sync::atomic::Ordering;

use redis::{RedisResult, Value};
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::batch::ScriptCall;
use super::failure::RequestError;
use super::node::Node;
use super::queue::MAX_CHECKS;
use super::reply::BatchReply;
use super::trouble::Measured;

/// A round trip that has begun.
pub(super) struct RoundTrip {
    /// The number of the connection.
    pub(super) connection: u64,
    pub(super) since: Instant,
    pub(super) checks: usize,
}

impl RoundTrip {
    /// Notes that the server has answered with these values.
    pub(super) fn answered(
        self,
        node: &Node,
        calls: Vec<ScriptCall>,
        values: Vec<Value>,
    ) -> BatchReply {
        self.measure(node);
        node.record_answer(self.since.elapsed());
        let failure = RequestError::Unknown("the server answered too little".to_owned());
        let reply = BatchReply { calls, values, failure };
        adapt(node, &reply);
        reply
    }

    /// Notes the end. If it is not known what the server did, the connection is discarded.
    pub(super) async fn end(
        self,
        node: &Node,
        calls: Vec<ScriptCall>,
        sent: Result<RedisResult<Vec<Value>>, Elapsed>,
    ) -> BatchReply {
        let is_answered = sent.is_ok();
        let failure = match sent {
            Ok(Ok(values)) if !values.is_empty() => return self.answered(node, calls, values),
            Ok(Ok(_)) => RequestError::Unknown("the server answered too little".to_owned()),
            Ok(Err(error)) => RequestError::from_driver(&error),
            Err(_) => RequestError::Unknown("no answer before the deadline".to_owned()),
        };
        self.measure(node);
        if !failure.is_retryable() {
            // Replies that still arrive on this connection belong to requests that have already
            // failed.
            node.connection.discard(self.connection).await;
            match is_answered {
                true => node.connection.trouble.set_failed(Some(failure.reason())),
                false => node.connection.trouble.set_unanswered(failure.reason()),
            }
            if let Some(router) = node.router.as_ref().and_then(Weak::upgrade) {
                router.refresh_soon();
            }
        }
        let reply = BatchReply { calls, values: Vec::new(), failure };
        adapt(node, &reply);
        reply
    }

    fn measure(&self, node: &Node) {
        node.connection.trouble.measure(Measured::RoundTrip(self.checks, self.since.elapsed()));
    }
}

/// Adapts the size of calls to the number of checks that the server carries out in one.
fn adapt(node: &Node, reply: &BatchReply) {
    let limit = node.batch_limit.load(Ordering::Relaxed);
    let limit = match reply.carried_out() {
        (checks, 0) if checks < limit => return,
        (_, 0) => limit * 2,
        (checks, deferred) => checks - deferred,
    };
    node.batch_limit.store(limit.clamp(1, MAX_CHECKS), Ordering::Relaxed);
}
