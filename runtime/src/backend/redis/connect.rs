//! Connections: to one server, wherever it is and whoever knows that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::{Connection, Manager, Pool, PoolConfig, Runtime, Status, Timeouts};
use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisResult, TlsCertificates,
    TlsMode,
};
use tokio::runtime::{Handle, Id};

use super::failure::Failure;
use crate::stats::RedisStats;

/// How long making a connection may take, or finding out whether one is alive. A check does not
/// wait for it beyond its own deadline; the connection then serves later ones.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The runtimes whose connections are kept.
const MAX_RUNTIMES: usize = 4;

/// How to speak to every server of a backend.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
    pub(super) tls: bool,
    /// Instead of the machine's certificate authorities, in PEM.
    pub(super) ca_certificate: Option<Vec<u8>>,
    pub(super) pool_size: usize,
}

impl Access {
    pub(super) fn address(&self, host: &str, port: u16) -> ConnectionAddr {
        let host = host.to_owned();
        if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        let root_cert = Some(self.ca_certificate.clone().filter(|_| self.tls)?);
        Some(TlsCertificates { client_tls: None, root_cert })
    }

    fn settings(&self) -> RedisConnectionInfo {
        let mut settings = RedisConnectionInfo::default()
            // So that a lost connection is noticed while nothing is under way.
            .set_protocol(ProtocolVersion::RESP3)
            // Servers before 7.2 count it as an error, and users with few rights may not.
            .set_skip_set_lib_name()
            .set_db(self.database);
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        settings
    }

    fn info(&self, address: &ConnectionAddr) -> RedisResult<ConnectionInfo> {
        let info = address.clone().into_connection_info()?.set_redis_settings(self.settings());
        match self.certificates() {
            Some(certificates) => {
                Ok(Client::build_with_tls(info, certificates)?.get_connection_info().clone())
            }
            None => Ok(info),
        }
    }
}

/// Where a server is found.
pub(super) enum Place {
    At(ConnectionAddr),
    /// The master that these sentinels name, asked anew for each connection.
    Sentinel {
        sentinels: Vec<ConnectionAddr>,
        master: String,
    },
}

/// The connections to one server: a pool for each runtime, whose tasks drive them.
pub(super) struct Source {
    access: Access,
    place: Place,
    pools: Mutex<Vec<RuntimePool>>,
    /// How many connections were lost so far.
    losses: Arc<AtomicU64>,
}

#[derive(Clone)]
struct RuntimePool {
    runtime: Id,
    address: ConnectionAddr,
    pool: Pool,
}

/// A connection in use.
pub(super) struct Held {
    connection: Connection,
    runtime: Id,
    /// Those that had been lost when it was last known to be alive.
    losses: u64,
}

impl Held {
    pub(super) fn shared(&self) -> MultiplexedConnection {
        (*self.connection).clone()
    }

    /// Closes it.
    pub(super) fn discard(self) {
        drop(Connection::take(self.connection));
    }
}

impl Source {
    pub(super) fn new(access: Access, place: Place) -> Self {
        Self { access, place, pools: Mutex::default(), losses: Arc::default() }
    }

    /// Whether nothing speaks against using the connection here and now.
    pub(super) fn trusts(&self, held: &Held) -> bool {
        held.losses == self.losses.load(Ordering::Acquire)
            && Handle::try_current().is_ok_and(|handle| handle.id() == held.runtime)
    }

    /// A connection of the pool, made if there is none that is alive.
    pub(super) async fn connect(&self) -> Result<Held, Failure> {
        let runtime = Handle::current().id();
        let losses = self.losses.load(Ordering::Acquire);
        let address = self.locate().await?;
        let pool = self.pool(runtime, &address)?;
        let connection = pool.get().await;
        let connection = connection.map_err(|error| {
            Failure::Unconnected(format!("cannot connect to {address}: {}", with_causes(&error)))
        })?;
        Ok(Held { connection, runtime, losses })
    }

    async fn locate(&self) -> Result<ConnectionAddr, Failure> {
        let (sentinels, master) = match &self.place {
            Place::At(address) => return Ok(address.clone()),
            Place::Sentinel { sentinels, master } => (sentinels, master),
        };
        let asked = async {
            let mut client = SentinelClientBuilder::new(
                sentinels.iter().cloned(),
                master,
                SentinelServerType::Master,
            )?
            .set_client_to_redis_db(self.access.database);
            if let Some(username) = &self.access.username {
                client = client.set_client_to_redis_username(username);
            }
            if let Some(password) = &self.access.password {
                client = client.set_client_to_redis_password(password);
            }
            if self.access.tls {
                client = client.set_client_to_redis_tls_mode(TlsMode::Secure);
            }
            if let Some(certificates) = self.access.certificates() {
                client = client
                    .set_client_to_redis_certificates(certificates.clone())
                    .set_client_to_sentinel_certificates(certificates);
            }
            let client = client.build()?.async_get_client().await?;
            Ok(client.get_connection_info().addr().clone())
        };
        let failed = |reason: String| {
            Failure::Unconnected(format!("no sentinel names a master `{master}`: {reason}"))
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, asked).await {
            Ok(found) => found.map_err(|error: redis::RedisError| failed(error.to_string())),
            Err(_) => Err(failed("none answers".to_owned())),
        }
    }

    fn pool(&self, runtime: Id, address: &ConnectionAddr) -> Result<Pool, Failure> {
        let mut pools = self.lock();
        let at = |known: &RuntimePool| known.runtime == runtime;
        if let Some(known) = pools.iter().find(|known| at(known) && known.address == *address) {
            return Ok(known.pool.clone());
        }
        pools.retain(|known| !at(known));
        let pool = self.new_pool(address).map_err(Failure::Never)?;
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
            // Whoever sends has a deadline of their own.
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    losses.fetch_add(1, Ordering::Release);
                }
                Ok::<_, redis::aio::SendError>(())
            });
        let info = self.access.info(address).map_err(|error| with_causes(&error))?;
        let manager =
            Manager::new_with_config(info, config).map_err(|error| with_causes(&error))?;
        let patience = Some(CONNECT_TIMEOUT);
        let timeouts = Timeouts { wait: patience, create: patience, recycle: patience };
        let size =
            PoolConfig { max_size: self.access.pool_size, timeouts, ..PoolConfig::default() };
        let builder = Pool::builder(manager).config(size).runtime(Runtime::Tokio1);
        builder.build().map_err(|error| error.to_string())
    }

    /// How many connections there are in all pools.
    pub(super) fn count(&self, stats: &mut RedisStats) {
        for RuntimePool { pool, .. } in self.lock().iter() {
            let Status { max_size, size, available, waiting } = pool.status();
            stats.pool_size += max_size;
            stats.connections += size;
            stats.idle += available;
            stats.waiting += waiting;
        }
    }

    /// Where the server was last found.
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

/// An error in one line, with what caused it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text
}
