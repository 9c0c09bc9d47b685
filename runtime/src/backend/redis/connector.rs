//! Connecting to one server, through a connection pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use deadpool::managed::{Object, Pool, PoolError};
use deadpool_redis::{PoolConfig, Runtime, Status, Timeouts};
use tokio::time::Instant;

use super::address::ServerAddress;
use super::connect_options::{CONNECT_TIMEOUT, ConnectOptions};
use super::failure::RequestError;
use super::manager::{ConnectionManager, LastUser};
use super::sentinel::Sentinels;
use super::server_connection::{ConnectFailure, ServerConnection};
use super::socket::Socket;
use crate::error::with_causes;
use crate::stats::RedisStats;

/// The address of a server: either fixed, or found by asking sentinels.
pub(super) enum Endpoint {
    Address(ServerAddress),
    /// The master that these sentinels report. They are asked anew for each connection.
    Sentinel(Arc<Sentinels>),
}

type ServerPool = Pool<ConnectionManager>;

/// Connects to one server.
pub(super) struct Connector {
    options: ConnectOptions,
    endpoint: Endpoint,
    /// The pool, and the address of its connections; `None` before the first attempt to connect.
    pool: Mutex<Option<(ServerAddress, ServerPool)>>,
    /// The number of connections that have been lost so far.
    losses: Arc<AtomicU64>,
    user: LastUser,
}

/// A connection in use, which returns to its pool when it is dropped.
pub(super) struct PooledConnection {
    connection: Object<ConnectionManager>,
    /// Distinguishes the connections of the process.
    id: u64,
    since: Instant,
    /// The value of the connector's `losses` at a time when the connection was known to be alive.
    losses: u64,
}

static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// A handle to a connection in use.
pub(super) struct SharedHandle {
    pub(super) id: u64,
    pub(super) connection: ServerConnection,
}

impl PooledConnection {
    /// Returns a handle to the same connection.
    pub(super) fn shared(&self) -> SharedHandle {
        SharedHandle { id: self.id, connection: (*self.connection).clone() }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Returns the connection's socket; `None` if it cannot be lent.
    pub(super) fn socket(&self) -> Option<&Arc<Socket>> {
        self.connection.socket()
    }

    /// Closes the connection, instead of returning it to its pool.
    pub(super) fn discard(self) {
        drop(Object::take(self.connection));
    }
}

impl Connector {
    pub(super) fn new(options: ConnectOptions, endpoint: Endpoint) -> Self {
        let (pool, losses, user) = Default::default();
        Self { options, endpoint, pool, losses, user }
    }

    /// Returns `true` if no connection was lost since this one was known to be alive, and it is not
    /// closed.
    pub(super) fn is_usable(&self, connection: &PooledConnection) -> bool {
        self.is_unlost(connection) && connection.socket().is_none_or(|socket| socket.is_open())
    }

    /// Returns `true` if no connection was lost since this one was known to be alive.
    pub(super) fn is_unlost(&self, connection: &PooledConnection) -> bool {
        connection.losses == self.losses.load(Ordering::Acquire)
    }

    /// Returns `true` if the connection is to be replaced, so that a name that leads elsewhere by
    /// now is followed.
    pub(super) fn is_old(&self, connection: &PooledConnection) -> bool {
        connection.since.elapsed() >= self.options.max_age
    }

    /// Takes a live connection from the pool, or makes a new one.
    pub(super) async fn connect(&self) -> Result<PooledConnection, RequestError> {
        let losses = self.losses.load(Ordering::Acquire);
        let address = match &self.endpoint {
            Endpoint::Address(address) => address.clone(),
            Endpoint::Sentinel(sentinels) => {
                sentinels.master_address(&self.options, CONNECT_TIMEOUT).await?
            }
        };
        let pool = self.pool(&address)?;
        pool.retain(|_, metrics| metrics.age() < self.options.max_age);
        let connection = pool.get().await.map_err(|failure| unconnected(&address, &failure))?;
        let id = CONNECTIONS.fetch_add(1, Ordering::Relaxed) + 1;
        // A pooled connection may be older than this, by up to the time for which it was in use.
        Ok(PooledConnection { connection, id, since: Instant::now(), losses })
    }

    /// Returns the pool. If it is for another address, a new one replaces it.
    fn pool(&self, address: &ServerAddress) -> Result<ServerPool, RequestError> {
        let mut current = self.lock();
        if let Some((known, pool)) = &*current
            && known == address
        {
            return Ok(pool.clone());
        }
        let pool = self.new_pool(address).map_err(RequestError::Permanent)?;
        *current = Some((address.clone(), pool.clone()));
        Ok(pool)
    }

    fn new_pool(&self, address: &ServerAddress) -> Result<ServerPool, String> {
        let manager = ConnectionManager::new(
            self.options.clone(),
            address.clone(),
            Arc::clone(&self.losses),
            Arc::clone(&self.user),
        );
        let manager = manager.map_err(|error| with_causes(&error))?;
        let timeout = Some(CONNECT_TIMEOUT);
        // Making a connection has timeouts of its own.
        let timeouts = Timeouts { wait: timeout, create: None, recycle: timeout };
        let size =
            PoolConfig { max_size: self.options.pool_size, timeouts, ..PoolConfig::default() };
        let builder = Pool::builder(manager).config(size).runtime(Runtime::Tokio1);
        builder.build().map_err(|error| error.to_string())
    }

    /// Returns the name of the Redis user as whom a connection began last; `default` if the
    /// credentials name none.
    pub(super) fn user(&self) -> String {
        let user = self.user.lock().unwrap_or_else(PoisonError::into_inner);
        user.clone().unwrap_or_else(|| "default".to_owned())
    }

    /// Adds the numbers of connections in the pool to `stats`.
    pub(super) fn add_to(&self, stats: &mut RedisStats) {
        if let Some((_, pool)) = &*self.lock() {
            let Status { max_size, size, available, waiting } = pool.status();
            stats.pool_size += max_size;
            stats.connections += size;
            stats.idle += available;
            stats.waiting += waiting;
        }
    }

    /// Returns the address at which the server was last found; `None` before the first attempt to
    /// connect.
    pub(super) fn address(&self) -> Option<String> {
        self.lock().as_ref().map(|(address, _)| address.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Option<(ServerAddress, ServerPool)>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all connections that are not in use.
    pub(super) fn close(&self) {
        if let Some((_, pool)) = self.lock().take() {
            pool.close();
        }
    }
}

/// Converts the failure of a pool. Only a failure that may pass is worth another attempt.
fn unconnected(address: &ServerAddress, failure: &PoolError<ConnectFailure>) -> RequestError {
    let text = |reason: &str| format!("cannot connect to {address}: {reason}");
    match failure {
        PoolError::Backend(failure) if failure.is_lasting => {
            RequestError::Permanent(text(&failure.reason))
        }
        PoolError::Backend(failure) if failure.lacks_credentials => {
            RequestError::NoCredentials(text(&failure.reason))
        }
        PoolError::Backend(failure) => RequestError::Unconnected(text(&failure.reason)),
        other => RequestError::Unconnected(text(&with_causes(other))),
    }
}
