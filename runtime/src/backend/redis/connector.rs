//! Connecting to one server, through a connection pool for each runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::{Connection, Manager, Pool, PoolConfig, Runtime, Status, Timeouts};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, PushInfo, PushKind};
use tokio::runtime::{Handle, Id};

use super::connect_options::ConnectOptions;
use super::failure::RequestError;
use super::remedy::without_arguments;
use super::sentinel::Sentinels;
use crate::error::with_causes;
use crate::stats::RedisStats;

/// Timeout for connecting, and for testing a pooled connection. A check waits no longer than its
/// own deadline. If the connection is ready after that, it serves later checks.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum number of tokio runtimes for which a connector has a pool.
const MAX_RUNTIMES: usize = 4;

/// The address of a server: either fixed, or found by asking sentinels.
pub(super) enum Endpoint {
    Address(ConnectionAddr),
    /// The master that these sentinels report. They are asked anew for each connection.
    Sentinel(Sentinels),
}

/// Connects to one server. It has a pool for each tokio runtime, because the tasks of a runtime
/// drive its connections.
pub(super) struct Connector {
    options: ConnectOptions,
    endpoint: Endpoint,
    pools: Mutex<Vec<RuntimePool>>,
    /// The number of connections that have been lost so far.
    losses: Arc<AtomicU64>,
}

#[derive(Clone)]
struct RuntimePool {
    runtime: Id,
    address: ConnectionAddr,
    pool: Pool,
}

/// A connection in use, which returns to its pool when it is dropped.
pub(super) struct PooledConnection {
    connection: Connection,
    runtime: Id,
    /// The value of the connector's `losses` at a time when the connection was known to be alive.
    losses: u64,
}

impl PooledConnection {
    /// Returns a handle to the same connection.
    pub(super) fn shared(&self) -> MultiplexedConnection {
        (*self.connection).clone()
    }

    /// Closes the connection, instead of returning it to its pool.
    pub(super) fn discard(self) {
        drop(Connection::take(self.connection));
    }
}

impl Connector {
    pub(super) fn new(options: ConnectOptions, endpoint: Endpoint) -> Self {
        Self { options, endpoint, pools: Mutex::default(), losses: Arc::default() }
    }

    /// Returns `true` if the connection belongs to the current runtime, and no connection was lost
    /// since it was known to be alive.
    pub(super) fn is_usable(&self, connection: &PooledConnection) -> bool {
        connection.losses == self.losses.load(Ordering::Acquire)
            && Handle::try_current().is_ok_and(|handle| handle.id() == connection.runtime)
    }

    /// Takes a live connection from the runtime's pool, or makes a new one.
    pub(super) async fn connect(&self) -> Result<PooledConnection, RequestError> {
        let runtime = Handle::current().id();
        let losses = self.losses.load(Ordering::Acquire);
        let address = match &self.endpoint {
            Endpoint::Address(address) => address.clone(),
            Endpoint::Sentinel(sentinels) => {
                sentinels.master_address(&self.options, CONNECT_TIMEOUT).await?
            }
        };
        let pool = self.pool(runtime, &address)?;
        let connection = pool.get().await;
        let connection = connection.map_err(|error| {
            let reason = with_causes(&error);
            let reason = without_arguments(&reason);
            RequestError::Unconnected(format!("cannot connect to {address}: {reason}"))
        })?;
        Ok(PooledConnection { connection, runtime, losses })
    }

    /// Returns the pool of a runtime. If its pool is for another address, a new one replaces it.
    fn pool(&self, runtime: Id, address: &ConnectionAddr) -> Result<Pool, RequestError> {
        let mut pools = self.lock();
        let at = |known: &RuntimePool| known.runtime == runtime;
        if let Some(known) = pools.iter().find(|known| at(known) && known.address == *address) {
            return Ok(known.pool.clone());
        }
        pools.retain(|known| !at(known));
        let pool = self.new_pool(address).map_err(RequestError::Permanent)?;
        if pools.len() == MAX_RUNTIMES {
            pools.remove(0);
        }
        pools.push(RuntimePool { runtime, address: address.clone(), pool: pool.clone() });
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

    /// Adds the numbers of connections in all pools to `stats`.
    pub(super) fn add_to(&self, stats: &mut RedisStats) {
        for RuntimePool { pool, .. } in self.lock().iter() {
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
        self.lock().last().map(|known| known.address.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RuntimePool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all connections that are not in use.
    pub(super) fn close(&self) {
        for known in self.lock().drain(..) {
            known.pool.close();
        }
    }
}
