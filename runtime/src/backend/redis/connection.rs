//! The connection to one server: shared by all its callers, and replaced after a failure.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Id;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::connector::{Connector, PooledConnection, SharedHandle};
use super::failure::{RequestError, with_last};
use super::socket::LentSocket;
use super::trouble::{Measured, Trouble};
use crate::stats::RedisStats;

/// The time after a failed attempt to replace an old connection until the next one.
const REPLACE_PAUSE: Duration = Duration::from_secs(1);

/// The reason that is told while the first attempt to connect is under way.
pub(super) const CONNECTING: &str = "connecting, without an answer yet";

pub(super) struct SharedConnection {
    connector: Connector,
    current: tokio::sync::Mutex<Option<PooledConnection>>,
    /// The tasks that try to connect, and for which no check waits any more.
    attempts: Mutex<Vec<AbortHandle>>,
    /// `true` while a connection is being made that replaces an old one.
    is_replacing: AtomicBool,
    pub(super) trouble: Arc<Trouble>,
}

impl SharedConnection {
    pub(super) fn new(connector: Connector) -> Arc<Self> {
        let (current, attempts, trouble) = Default::default();
        let is_replacing = AtomicBool::new(false);
        Arc::new(Self { connector, current, attempts, is_replacing, trouble })
    }

    /// Returns the current connection, or a new one. If connecting takes longer than `deadline`,
    /// returns an error, and the attempt goes on in the background for later batches. A later batch
    /// does not wait for this attempt if it gets another connection sooner, because a server that
    /// hangs and recovers may never answer the attempts that were made while it hung.
    pub(super) async fn get_by(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<SharedHandle, RequestError> {
        if let Some(connection) = self.current().await {
            return Ok(connection);
        }
        if self.trouble.reason().is_none() {
            self.trouble.set_unconnected(Some(CONNECTING.to_owned()));
        }
        let shared = Arc::clone(self);
        let mut connecting = Box::pin(async move { shared.connect().await });
        if let Ok(connection) = timeout_at(deadline, &mut connecting).await {
            return connection;
        }
        self.detach(tokio::spawn(connecting).abort_handle());
        let text = with_last("no connection before the deadline", self.trouble.reason());
        Err(RequestError::Unconnected(text))
    }

    /// Lets an attempt to connect go on in the background. At most two attempts do so, because each
    /// needs a connection of the pool. The oldest one may take all its time. The other one is
    /// replaced by each newer one, because that is more likely to succeed.
    fn detach(&self, attempt: AbortHandle) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.retain(|attempt| !attempt.is_finished());
        if attempts.len() > 1
            && let Some(newest) = attempts.pop()
        {
            newest.abort();
        }
        attempts.push(attempt);
    }

    /// Returns the current connection, or a new one.
    pub(super) async fn get(self: &Arc<Self>) -> Result<SharedHandle, RequestError> {
        match self.current().await {
            Some(connection) => Ok(connection),
            None => self.connect().await,
        }
    }

    /// Returns the current connection; `None` if there is none or it is not usable.
    pub(super) async fn current(self: &Arc<Self>) -> Option<SharedHandle> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &*current
            && self.connector.is_usable(connection)
        {
            if self.connector.is_old(connection) {
                self.replace();
            }
            return Some(connection.shared());
        }
        // This returns the connection to its pool, which tests it before it hands it out again.
        *current = None;
        None
    }

    /// Lends the socket of the current connection to a caller in the present runtime, which is the
    /// one with this number. Returns it with the number of the connection; `None` if it cannot be
    /// lent, or is to be replaced.
    pub(super) fn lend(&self, runtime: Id) -> Option<(u64, LentSocket)> {
        let current = self.current.try_lock().ok()?;
        let connection = current.as_ref()?;
        if !self.connector.is_unlost(connection) || self.connector.is_old(connection) {
            return None;
        }
        Some((connection.id(), connection.socket()?.lend(runtime)?))
    }

    /// Makes a new connection in the background. The old one is used until then, and goes on to be
    /// used if the attempt fails; the next attempt is made some time later.
    fn replace(self: &Arc<Self>) {
        if self.is_replacing.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            if shared.connect().await.is_err() {
                sleep(REPLACE_PAUSE).await;
            }
            shared.is_replacing.store(false, Ordering::Release);
        });
    }

    /// Makes a new connection, which becomes the current one, and returns it. If several callers do
    /// so at a time, the last connection becomes the current one, and the others return to the
    /// pool.
    async fn connect(&self) -> Result<SharedHandle, RequestError> {
        let since = Instant::now();
        let fresh = match self.connector.connect().await {
            Ok(fresh) => fresh,
            Err(failure) => {
                self.trouble.set_unconnected(Some(failure.reason()));
                return Err(failure);
            }
        };
        self.trouble.set_unconnected(None);
        self.trouble.measure(Measured::Connected(since.elapsed()));
        let shared = fresh.shared();
        *self.current.lock().await = Some(fresh);
        Ok(shared)
    }

    /// Closes the connection with this number, instead of returning it to its pool, if it is the
    /// current one. Calls that are in progress on it may still be answered.
    pub(super) async fn discard(&self, id: u64) {
        if let Some(connection) = self.current.lock().await.take_if(|current| current.id() == id) {
            connection.discard();
        }
    }

    /// Closes the current connection, instead of returning it to its pool.
    pub(super) async fn discard_current(&self) {
        if let Some(connection) = self.current.lock().await.take() {
            connection.discard();
        }
    }

    pub(super) fn add_to(&self, stats: &mut RedisStats) {
        self.connector.add_to(stats);
    }

    /// Returns the address at which the server was last found; `None` before the first attempt to
    /// connect.
    pub(super) fn address(&self) -> Option<String> {
        self.connector.address()
    }

    /// Returns the name of the Redis user as whom the connection began; `default` if the credentials
    /// name none.
    pub(super) fn user(&self) -> String {
        self.connector.user()
    }

    pub(super) async fn close(&self) {
        *self.current.lock().await = None;
        self.connector.close();
    }
}
