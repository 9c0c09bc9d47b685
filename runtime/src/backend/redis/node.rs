//! The node: a single server, the master that sentinels report, or a node of a cluster.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::{Cmd, Value};

use super::connection::SharedConnection;
use super::connector::Connector;
use super::failure::RequestError;
use super::queue::RequestQueue;
use super::request::Request;
use crate::stats::RedisStats;
use crate::{BackendError, Clock};

/// The client of one server: its connection, and the queue of requests, which its worker empties.
pub(super) struct Node {
    pub(super) connection: Arc<SharedConnection>,
    /// The clock by which the script decides in tests; `None` to decide by the server's time.
    pub(super) virtual_time: Option<Arc<dyn Clock>>,
    /// The cluster to which the server belongs; `None` if it belongs to none.
    pub(super) router: Option<Weak<dyn Router>>,
    pub(super) queue: RequestQueue,
    round_trips: AtomicU64,
    /// The number of checks that were sent in these round trips.
    checks: AtomicU64,
}

/// Reroutes failed requests in a cluster.
pub(super) trait Router: Send + Sync {
    /// Sends requests that had no effect at the node `from` to the nodes that now serve their
    /// slots.
    fn reroute<'a>(
        &'a self,
        from: &'a Arc<Node>,
        failed: Vec<(Request, RequestError)>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

impl Node {
    pub(super) fn new(
        connector: Connector,
        virtual_time: Option<Arc<dyn Clock>>,
        router: Option<Weak<dyn Router>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            connection: SharedConnection::new(connector),
            virtual_time,
            router,
            queue: RequestQueue::default(),
            round_trips: AtomicU64::new(0),
            checks: AtomicU64::new(0),
        })
    }

    /// Counts a round trip and the checks that were sent in it.
    pub(super) fn record_round_trip(&self, checks: usize) {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        self.checks.fetch_add(checks as u64, Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, stats: &mut RedisStats) {
        stats.round_trips += self.round_trips.load(Ordering::Relaxed);
        stats.checks += self.checks.load(Ordering::Relaxed);
        stats.queued += self.queue.len();
        self.connection.add_to(stats);
    }

    /// Sends one command outside the queue, and waits for its reply for at most `timeout`.
    pub(super) async fn query(
        &self,
        command: &Cmd,
        timeout: Duration,
    ) -> Result<Value, BackendError> {
        let reply = async {
            let mut connection = self.connection.get().await.map_err(RequestError::into_error)?;
            let value = connection.send_packed_command(command).await;
            match value.and_then(Value::extract_error) {
                Ok(value) => Ok(value),
                Err(error) => Err(RequestError::from_driver(&error).into_error()),
            }
        };
        let reply = match tokio::time::timeout(timeout, reply).await {
            Ok(reply) => reply,
            Err(_) => Err(BackendError::not_executed("the server does not answer")),
        };
        reply.map_err(|error| match self.connection.address() {
            Some(address) => error.at(&address),
            None => error,
        })
    }

    /// Rejects further requests, waits until all present ones have been answered, and closes the
    /// connections.
    pub(super) async fn close(&self) {
        self.queue.close().await;
        self.connection.close().await;
    }
}
