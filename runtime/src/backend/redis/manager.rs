//! The manager of a connection pool: makes connections to one server, and tests them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use redis::{AsyncConnectionConfig, PushInfo, PushKind};

use super::address::ServerAddress;
use super::connect_options::ConnectOptions;
use super::server_connection::{ConnectFailure, ServerConnection};

/// The name of the user as whom a connection began last; `None` for the default user.
pub(super) type LastUser = Arc<Mutex<Option<String>>>;

pub(super) struct ConnectionManager {
    options: ConnectOptions,
    address: ServerAddress,
    /// Tests connections. It makes none itself, because the driver would choose the cryptography of
    /// the process for it.
    tester: deadpool_redis::Manager,
    /// The number of connections that have been lost so far.
    losses: Arc<AtomicU64>,
    user: LastUser,
}

impl ConnectionManager {
    pub(super) fn new(
        options: ConnectOptions,
        address: ServerAddress,
        losses: Arc<AtomicU64>,
        user: LastUser,
    ) -> Result<Self, redis::RedisError> {
        // It is never connected to this address.
        let tester = deadpool_redis::Manager::new(redis::ConnectionAddr::Unix("/".into()))?;
        Ok(Self { options, address, tester, losses, user })
    }
}

impl Manager for ConnectionManager {
    type Type = ServerConnection;
    type Error = ConnectFailure;

    async fn create(&self) -> Result<ServerConnection, ConnectFailure> {
        let losses = Arc::clone(&self.losses);
        let config = AsyncConnectionConfig::new()
            // There is no timeout here, because every sender has its own deadline.
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    losses.fetch_add(1, Ordering::Release);
                }
                Ok::<_, redis::aio::SendError>(())
            });
        let (connection, user) = self.options.open(&self.address, config).await?;
        *self.user.lock().unwrap_or_else(PoisonError::into_inner) = user;
        Ok(connection)
    }

    async fn recycle(
        &self,
        connection: &mut ServerConnection,
        metrics: &Metrics,
    ) -> RecycleResult<ConnectFailure> {
        let tested = self.tester.recycle(connection, metrics).await;
        tested.map_err(|error| RecycleError::message(error.to_string()))
    }
}
