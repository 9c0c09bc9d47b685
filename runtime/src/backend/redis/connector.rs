//! Connecting to one server, through a connection pool for each runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use deadpool::managed::{Object, Pool, PoolError};
use deadpool_redis::{PoolConfig, Runtime, Status, Timeouts};
use tokio::runtime::{Handle, Id};

use super::address::ServerAddress;
use super::connect_options::{CONNECT_TIMEOUT, ConnectOptions};
use super::failure::RequestError;
use super::manager::{ConnectionManager, LastUser};
use super::sentinel::Sentinels;
use super::server_connection::{ConnectFailure, ServerConnection};
use crate::error::with_causes;
use crate::stats::RedisStats;

/// The maximum number of tokio runtimes for which a connector has a pool.
const MAX_RUNTIMES: usize = 4;

/// The address of a server: either fixed, or found by asking sentinels.
pub(super) enum Endpoint {
    Address(ServerAddress),
    /// The master that these sentinels report. They are asked anew for each connection.
    Sentinel(Arc<Sentinels>),
}

/// Connects to one server. It has a pool for each tokio runtime, because the tasks of a runtime
/// drive its connections.
pub(super) struct Connector {
    options: ConnectOptions,
    endpoint: Endpoint,
    pools: Mutex<Vec<RuntimePool>>,
    /// The number of connections that have been lost so far.
    losses: Arc<AtomicU64>,
    user: LastUser,
}

#[derive(Clone)]
struct RuntimePool {
    runtime: Id,
    address: ServerAddress,
    pool: Pool<ConnectionManager>,
}

/// A connection in use, which returns to its pool when it is dropped.
pub(super) struct PooledConnection {
    connection: Object<ConnectionManager>,
    runtime: Id,
    /// The value of the connector's `losses` at a time when the connection was known to be alive.
    losses: u64,
}

impl PooledConnection {
    /// Returns a handle to the same connection.
    pub(super) fn shared(&self) -> ServerConnection {
        (*self.connection).clone()
    }

    /// Closes the connection, instead of returning it to its pool.
    pub(super) fn discard(self) {
        drop(Object::take(self.connection));
    }
}

impl Connector {
    pub(super) fn new(options: ConnectOptions, endpoint: Endpoint) -> Self {
        let (pools, losses, user) = Default::default();
        Self { options, endpoint, pools, losses, user }
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
        let connection = pool.get().await.map_err(|failure| unconnected(&address, &failure))?;
        Ok(PooledConnection { connection, runtime, losses })
    }

    /// Returns the pool of a runtime. If its pool is for another address, a new one replaces it.
    fn pool(
        &self,
        runtime: Id,
        address: &ServerAddress,
    ) -> Result<Pool<ConnectionManager>, RequestError> {
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

    fn new_pool(&self, address: &ServerAddress) -> Result<Pool<ConnectionManager>, String> {
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
