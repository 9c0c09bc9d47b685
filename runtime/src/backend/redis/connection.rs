//! The connection to one server: shared by all its callers, and replaced after a failure.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::connector::{Connector, PooledConnection};
use super::failure::RequestError;
use super::server_connection::ServerConnection;
use crate::stats::RedisStats;
use crate::telemetry;

pub(super) struct SharedConnection {
    connector: Connector,
    current: tokio::sync::Mutex<Option<PooledConnection>>,
    /// The tasks that try to connect, and for which no check waits any more.
    attempts: Mutex<Vec<AbortHandle>>,
}

impl SharedConnection {
    pub(super) fn new(connector: Connector) -> Arc<Self> {
        let (current, attempts) = Default::default();
        Arc::new(Self { connector, current, attempts })
    }

    /// Returns the current connection, or a new one. If connecting takes longer than `deadline`,
    /// returns an error, and the attempt goes on in the background for later batches. A later batch
    /// does not wait for this attempt if it gets another connection sooner, because a server that
    /// hangs and recovers may never answer the attempts that were made while it hung.
    pub(super) async fn get_by(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<ServerConnection, RequestError> {
        if let Some(connection) = self.current().await {
            return Ok(connection);
        }
        let shared = Arc::clone(self);
        let mut connecting = Box::pin(async move { shared.connect().await });
        if let Ok(connection) = timeout_at(deadline, &mut connecting).await {
            return connection;
        }
        self.detach(tokio::spawn(connecting).abort_handle());
        Err(RequestError::Unconnected("no connection before the deadline".to_owned()))
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
    pub(super) async fn get(&self) -> Result<ServerConnection, RequestError> {
        match self.current().await {
            Some(connection) => Ok(connection),
            None => self.connect().await,
        }
    }

    /// Returns the current connection; `None` if there is none or it is not usable.
    async fn current(&self) -> Option<ServerConnection> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &*current
            && self.connector.is_usable(connection)
        {
            return Some(connection.shared());
        }
        // This returns the connection to its pool, which tests it before it hands it out again.
        *current = None;
        None
    }

    /// Makes a new connection, which becomes the current one, and returns it. If several callers do
    /// so at a time, the last connection becomes the current one, and the others return to the
    /// pool.
    async fn connect(&self) -> Result<ServerConnection, RequestError> {
        let since = Instant::now();
        let fresh = self.connector.connect().await?;
        telemetry::connected(since.elapsed());
        let shared = fresh.shared();
        *self.current.lock().await = Some(fresh);
        Ok(shared)
    }

    /// Closes the current connection, instead of returning it to its pool.
    pub(super) async fn discard(&self) {
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
