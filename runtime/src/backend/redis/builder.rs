//! Builds a [`RedisBackend`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::cluster::Cluster;
use super::connect::{Access, Place as At, Source};
use super::lane::Lane;
use super::url::{Place, RedisUrl};
use super::{RedisBackend, Servers};
use crate::{BackendError, Clock};

const DEFAULT_KEY_PREFIX: &str = "tollgate:";
const DEFAULT_POOL_SIZE: usize = 4;
const DEFAULT_DEADLINE: Duration = Duration::from_millis(100);

/// Builds a [`RedisBackend`]. What is set here wins over the URL.
pub struct RedisBackendBuilder {
    url: String,
    sentinel_master: Option<String>,
    key_prefix: Option<String>,
    cluster: Option<bool>,
    pool_size: Option<usize>,
    deadline: Option<Duration>,
    ca_certificate: Option<Vec<u8>>,
    virtual_time: Option<Arc<dyn Clock>>,
}

impl RedisBackendBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            sentinel_master: None,
            key_prefix: None,
            cluster: None,
            pool_size: None,
            deadline: None,
            ca_certificate: None,
            virtual_time: None,
        }
    }

    /// The hosts are sentinels, and the server is whichever they name as the master of this
    /// name.
    #[must_use]
    pub fn sentinel_master(mut self, name: impl Into<String>) -> Self {
        self.sentinel_master = Some(name.into());
        self
    }

    /// What all keys begin with; `tollgate:` unless set. Programs that share a server and a
    /// prefix share their counters.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = Some(prefix.into());
        self
    }

    /// Whether the servers are a cluster. Unless set, several hosts are one, and one host is not.
    #[must_use]
    pub fn cluster(mut self, cluster: bool) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// The most connections to one server, at least 1; 4 unless set. Checks share one; others
    /// take its place when it is lost.
    #[must_use]
    pub fn pool_size(mut self, size: usize) -> Self {
        self.pool_size = Some(size.max(1));
        self
    }

    /// How long an operation may take, waiting and connecting included; 100 ms unless set.
    /// [`LimiterBuilder::deadline`](crate::LimiterBuilder::deadline) wins over it.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Trusts this certificate authority, in PEM, instead of those that the machine trusts. For
    /// `rediss://`.
    #[must_use]
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificate = Some(pem.into());
        self
    }

    /// Decides by `clock` instead of the server's time: for tests of the script.
    #[doc(hidden)]
    #[must_use]
    pub fn virtual_time(mut self, clock: impl Clock) -> Self {
        self.virtual_time = Some(Arc::new(clock));
        self
    }

    /// The backend. It connects when it is first asked, or when the limiter is initialized.
    ///
    /// # Errors
    ///
    /// If the URL is none, or if what is set does not go together.
    pub fn build(self) -> Result<RedisBackend, BackendError> {
        let mut url = RedisUrl::parse(&self.url)?;
        url.sentinel_master = self.sentinel_master.or(url.sentinel_master);
        url.cluster = self.cluster.or(url.cluster);
        let is_cluster = url.is_cluster()?;
        if self.ca_certificate.is_some() && !url.tls {
            return Err(BackendError::not_executed(
                "a certificate authority is of use only with TLS: write `rediss://`",
            ));
        }
        if url.tls {
            // The driver has no provider of its own. If the program has chosen one, that serves.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let deadline = self.deadline.or(url.deadline).unwrap_or(DEFAULT_DEADLINE);
        let access = Access {
            username: url.username.clone(),
            password: url.password.clone(),
            database: url.database,
            tls: url.tls,
            ca_certificate: self.ca_certificate,
            pool_size: self.pool_size.or(url.pool_size).unwrap_or(DEFAULT_POOL_SIZE),
        };
        let servers = if is_cluster {
            Servers::Cluster(Cluster::new(access, url.hosts(), self.virtual_time))
        } else {
            let place = match (&url.place, &url.sentinel_master) {
                (Place::Socket(path), _) => At::At(redis::ConnectionAddr::Unix(path.clone())),
                (Place::Hosts(_), master) => {
                    let mut addresses: Vec<_> = url
                        .hosts()
                        .iter()
                        .map(|(host, port)| access.address(host, *port))
                        .collect();
                    match master {
                        Some(master) => {
                            At::Sentinel { sentinels: addresses, master: master.clone() }
                        }
                        // A URL has at least one host.
                        None => At::At(addresses.swap_remove(0)),
                    }
                }
            };
            Servers::One(Lane::new(Source::new(access, place), self.virtual_time, None))
        };
        let key_prefix = self.key_prefix.or(url.key_prefix);
        let key_prefix = key_prefix.unwrap_or_else(|| DEFAULT_KEY_PREFIX.to_owned());
        Ok(RedisBackend { key_prefix, deadline, servers })
    }
}

impl fmt::Debug for RedisBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("RedisBackendBuilder").finish_non_exhaustive()
    }
}
