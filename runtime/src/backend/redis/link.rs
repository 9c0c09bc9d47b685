//! The connection to one server: kept while it serves, and made anew when it does not.

use std::sync::{Arc, Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::connect::{Held, Source};
use super::failure::Failure;
use crate::stats::RedisStats;
use crate::telemetry;

pub(super) struct Link {
    source: Source,
    held: tokio::sync::Mutex<Option<Held>>,
    /// Attempts to connect for which no check waits any more.
    attempts: Mutex<Vec<AbortHandle>>,
}

impl Link {
    pub(super) fn new(source: Source) -> Arc<Self> {
        let (held, attempts) = Default::default();
        Arc::new(Self { source, held, attempts })
    }

    /// The connection in use, or another one. If that takes too long it is made nevertheless,
    /// for later flights, which do not wait for it if they find another sooner: a server that
    /// hangs and comes back need not answer who called while it hung.
    pub(super) async fn connection_by(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<MultiplexedConnection, Failure> {
        if let Some(connection) = self.present().await {
            return Ok(connection);
        }
        let link = Arc::clone(self);
        let mut connecting = Box::pin(async move { link.connect().await });
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

    pub(super) fn count(&self, stats: &mut RedisStats) {
        self.source.count(stats);
    }

    /// Where the server was last found.
    pub(super) fn address(&self) -> Option<String> {
        self.source.address()
    }

    pub(super) async fn close(&self) {
        *self.held.lock().await = None;
        self.source.close();
    }
}
