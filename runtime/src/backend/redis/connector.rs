//! Connecting to one server, through a connection pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::{Connection, Manager, Pool, PoolConfig, Runtime, Status, Timeouts};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{AsyncConnectionConfig, ConnectionAddr, PushInfo, PushKind};
use tokio::time::Instant;

use super::connect_options::ConnectOptions;
use super::failure::RequestError;
use super::sentinel::Sentinels;
use crate::error::with_causes;
use crate::stats::RedisStats;

/// Timeout for connecting, and for testing a pooled connection. A check waits no longer than its
/// own deadline. If the connection is ready after that, it serves later checks.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The time for which a connection is silent before the system asks if it is still there, the time
/// between such questions, and their number.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(5), 3);

/// The address of a server: either fixed, or found by asking sentinels.
pub(super) enum Endpoint {
    Address(ConnectionAddr),
    /// The master that these sentinels report. They are asked anew for each connection.
    Sentinel(Sentinels),
}

/// Connects to one server.
pub(super) struct Connector {
    options: ConnectOptions,
    endpoint: Endpoint,
    /// The pool, and the address of its connections; `None` before the first attempt to connect.
    pool: Mutex<Option<(ConnectionAddr, Pool)>>,
    /// The number of connections that have been lost so far.
    losses: Arc<AtomicU64>,
}

/// A connection in use, which returns to its pool when it is dropped.
pub(super) struct PooledConnection {
    connection: Connection,
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
    pub(super) connection: MultiplexedConnection,
}

impl PooledConnection {
    /// Returns a handle to the same connection.
    pub(super) fn shared(&self) -> SharedHandle {
        SharedHandle { id: self.id, connection: (*self.connection).clone() }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Closes the connection, instead of returning it to its pool.
    pub(super) fn discard(self) {
        drop(Connection::take(self.connection));
    }
}

impl Connector {
    pub(super) fn new(options: ConnectOptions, endpoint: Endpoint) -> Self {
        Self { options, endpoint, pool: Mutex::default(), losses: Arc::default() }
    }

    /// Returns `true` if no connection was lost since this one was known to be alive.
    pub(super) fn is_usable(&self, connection: &PooledConnection) -> bool {
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
        let connection = pool.get().await;
        let connection = connection
            .map_err(|error| RequestError::from_connecting(&address.to_string(), &error))?;
        let id = CONNECTIONS.fetch_add(1, Ordering::Relaxed) + 1;
        // A pooled connection may be older than this, by up to the time for which it was in use.
        Ok(PooledConnection { connection, id, since: Instant::now(), losses })
    }

    /// Returns the pool. If it is for another address, a new one replaces it.
    fn pool(&self, address: &ConnectionAddr) -> Result<Pool, RequestError> {
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

    fn new_pool(&self, address: &ConnectionAddr) -> Result<Pool, String> {
        let losses = Arc::clone(&self.losses);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            // There is no timeout here, because every sender has its own deadline.
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    losses.fetch_add(1, Ordering::Release);
                }
                Ok::<_, redis::aio::SendError>(())
            });
        let info = self.options.connection_info(address).map_err(|error| with_causes(&error))?;
        let (idle, interval, questions) = KEEPALIVE;
        let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval);
        let keepalive = keepalive.with_retries(questions);
        let info = info.set_tcp_settings(TcpSettings::default().set_keepalive(keepalive));
        let manager =
            Manager::new_with_config(info, config).map_err(|error| with_causes(&error))?;
        let timeout = Some(CONNECT_TIMEOUT);
        let timeouts = Timeouts { wait: timeout, create: timeout, recycle: timeout };
        let size =
            PoolConfig { max_size: self.options.pool_size, timeouts, ..PoolConfig::default() };
        let builder = Pool::builder(manager).config(size).runtime(Runtime::Tokio1);
        builder.build().map_err(|error| error.to_string())
    }

    /// Returns the name of the Redis user; `default` if the settings name none.
    pub(super) fn user(&self) -> &str {
        self.options.credentials.username.as_deref().unwrap_or("default")
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

    fn lock(&self) -> MutexGuard<'_, Option<(ConnectionAddr, Pool)>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all connections that are not in use.
    pub(super) fn close(&self) {
        if let Some((_, pool)) = self.lock().take() {
            pool.close();
        }
    }
}
