//! The node: a single server, the master that sentinels report, or a node of a cluster.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::{Cmd, Value};

use super::connection::SharedConnection;
use super::connector::Connector;
use super::direct_call::DirectPlace;
use super::driver::LazyDriver;
use super::failure::RequestError;
use super::pace::Pace;
use super::queue::{MAX_CHECKS, RequestQueue};
use super::request::Request;
use crate::stats::RedisStats;
use crate::{BackendError, Clock};

/// The maximum number of connections whose calls others overtake at a time.
const MAX_OVERTAKEN: usize = 2;

/// The number of nodes that the process has had so far.
static NODES: AtomicU64 = AtomicU64::new(0);

/// The client of one server: its connection, and the queue of requests, which its worker empties.
pub(super) struct Node {
    /// The number of the node among all of the process, at least 1.
    pub(super) number: u64,
    pub(super) connection: Arc<SharedConnection>,
    /// The clock by which the script decides in tests; `None` to decide by the server's time.
    pub(super) virtual_time: Option<Arc<dyn Clock>>,
    /// The cluster to which the server belongs; `None` if it belongs to none.
    pub(super) router: Option<Weak<dyn Router>>,
    pub(super) queue: RequestQueue,
    /// The runtime of the connections, from the first use on.
    pub(super) driver: LazyDriver,
    /// The maximum number of checks in the next call, which adapts to the work that they cause.
    pub(super) batch_limit: AtomicUsize,
    /// The pace of the calls on the present connection.
    pace: Mutex<Pace>,
    /// The number of connections whose calls others have overtaken on a new one.
    overtaken: AtomicUsize,
    /// The duration of the last round trip that ended with an answer; `None` before the first.
    answered: Mutex<Option<Duration>>,
    /// The call on its way that its caller carries out.
    direct: Mutex<DirectPlace>,
    /// The number of such calls so far.
    pub(super) direct_calls: AtomicU64,
    /// The number of calls of one check, one after another, while no other was on its way.
    pub(super) lone_calls: AtomicU32,
    round_trips: AtomicU64,
    /// The number of checks that were sent in these round trips.
    checks: AtomicU64,
}

/// Reroutes failed requests in a cluster.
pub(super) trait Router: Send + Sync {
    /// Looks in the background which nodes serve the slots now, because a node does not answer.
    fn refresh_soon(&self);

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
            number: NODES.fetch_add(1, Ordering::Relaxed) + 1,
            connection: SharedConnection::new(connector),
            virtual_time,
            router,
            queue: RequestQueue::default(),
            driver: LazyDriver::default(),
            batch_limit: AtomicUsize::new(MAX_CHECKS),
            pace: Mutex::new(Pace::new(0)),
            overtaken: AtomicUsize::new(0),
            answered: Mutex::default(),
            direct: Mutex::default(),
            direct_calls: AtomicU64::new(0),
            lone_calls: AtomicU32::new(0),
            round_trips: AtomicU64::new(0),
            checks: AtomicU64::new(0),
        })
    }

    /// Records an answer by the time that it took.
    pub(super) fn record_answer(&self, round_trip: Duration) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(round_trip);
    }

    /// Returns the duration of the last round trip that ended with an answer.
    pub(super) fn last_round_trip(&self) -> Option<Duration> {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the pace of the calls.
    pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the call that its caller carries out. The queue is locked after it, if both are.
    pub(super) fn direct(&self) -> MutexGuard<'_, DirectPlace> {
        self.direct.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the calls of a connection as overtaken. Returns `false` if there are too many.
    pub(super) fn try_overtake(&self) -> bool {
        let add = |count| (count < MAX_OVERTAKEN).then_some(count + 1);
        self.overtaken.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).is_ok()
    }

    /// Counts the overtaken calls of a connection as ended.
    pub(super) fn end_overtaken(&self) {
        self.overtaken.fetch_sub(1, Ordering::AcqRel);
        self.queue.notify_idle();
    }

    /// Counts a call of one check while no other was on its way. Any other call begins anew.
    pub(super) fn count_alone(&self, is_alone: bool) {
        let count = self.lone_calls.load(Ordering::Relaxed);
        let count = if is_alone { count.saturating_add(1) } else { 0 };
        self.lone_calls.store(count, Ordering::Relaxed);
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
        let (shared, command) = (Arc::clone(&self.connection), command.clone());
        let reply = async move {
            let mut handle = shared.get().await.map_err(RequestError::into_error)?;
            let owed = handle.connection.owe();
            let value = handle.connection.send_packed_command(&command).await;
            if let Some(owed) = owed {
                owed.paid();
            }
            match value.and_then(Value::extract_error) {
                Ok(value) => Ok(value),
                Err(error) => Err(RequestError::from_driver(&error).into_error()),
            }
        };
        let reply = async move { tokio::time::timeout(timeout, reply).await };
        let driver = self.driver.get().map_err(RequestError::into_error)?;
        let reply = match driver.spawn(reply).await {
            Ok(Ok(reply)) => reply,
            Err(_) | Ok(Err(_)) => Err(BackendError::not_executed("the server does not answer")),
        };
        reply.map_err(|error| match self.connection.address() {
            Some(address) => error.at(&address),
            None => error,
        })
    }

    /// Rejects further requests, waits until all present ones have been answered, and closes the
    /// connections.
    pub(super) async fn close(self: &Arc<Self>) {
        self.queue.close();
        // The caller's runtime may go on with it late, or never.
        self.start_to_take_over();
        loop {
            // Made before the look, so that the end of a call in between is not missed.
            let idle = self.queue.idle();
            self.queue.ended().await;
            if self.overtaken.load(Ordering::Acquire) == 0 {
                break;
            }
            idle.await;
        }
        self.connection.close().await;
    }
}
