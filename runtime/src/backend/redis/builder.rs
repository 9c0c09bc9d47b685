//! The builder of a [`RedisBackend`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::RedisBackend;
use super::cluster::Cluster;
use super::connect_options::ConnectOptions;
use super::connector::{Connector, Endpoint};
use super::node::Node;
use super::sentinel::Sentinels;
use super::servers::Servers;
use super::url::{Location, RedisUrl};
use crate::{BackendError, Clock};

const DEFAULT_KEY_PREFIX: &str = "tollgate:";
const DEFAULT_POOL_SIZE: usize = 4;
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(600);
const DEFAULT_DEADLINE: Duration = Duration::from_millis(100);

/// Builder of a [`RedisBackend`]. Its settings take precedence over those in the URL.
#[derive(Clone)]
pub struct RedisBackendBuilder {
    url: String,
    sentinel_master: Option<String>,
    sentinel_username: Option<String>,
    sentinel_password: Option<String>,
    key_prefix: Option<String>,
    cluster: Option<bool>,
    pool_size: Option<usize>,
    deadline: Option<Duration>,
    max_age: Option<Duration>,
    ca_certificate: Option<Vec<u8>>,
    virtual_time: Option<Arc<dyn Clock>>,
}

impl RedisBackendBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            sentinel_master: None,
            sentinel_username: None,
            sentinel_password: None,
            key_prefix: None,
            cluster: None,
            pool_size: None,
            deadline: None,
            max_age: None,
            ca_certificate: None,
            virtual_time: None,
        }
    }

    /// Treats the hosts of the URL as sentinels, and uses the server that they report as the master
    /// called `name`.
    #[must_use]
    pub fn sentinel_master(mut self, name: impl Into<String>) -> Self {
        self.sentinel_master = Some(name.into());
        self
    }

    /// Sets the user as whom the sentinels are asked. It requires a
    /// [`sentinel_password`](Self::sentinel_password).
    #[must_use]
    pub fn sentinel_username(mut self, username: impl Into<String>) -> Self {
        self.sentinel_username = Some(username.into());
        self
    }

    /// Sets the password of the sentinels. Without one, sentinels that want a password get the user
    /// and password of the server, because deployments often have one password for both.
    #[must_use]
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_password = Some(password.into());
        self
    }

    /// Sets the prefix of all keys; `tollgate:` by default. Programs that share a server and a
    /// prefix share their counters.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = Some(prefix.into());
        self
    }

    /// Treats the servers as a cluster if `true`. By default several hosts are a cluster, and a
    /// single host is not.
    #[must_use]
    pub fn cluster(mut self, cluster: bool) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// Sets the maximum number of connections to one server, at least 1; 4 by default. All checks
    /// share one connection. The others replace it when it is lost.
    #[must_use]
    pub fn pool_size(mut self, size: usize) -> Self {
        self.pool_size = Some(size.max(1));
        self
    }

    /// Sets the maximum duration of an operation, including queueing and connecting; 100 ms by
    /// default. [`LimiterBuilder::deadline`](crate::LimiterBuilder::deadline) takes precedence.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets the age at which a connection is replaced, in the background, so that a name that leads
    /// to another server by now is followed; 10 minutes by default.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// Trusts this certificate authority, in PEM, instead of those that the machine trusts. It
    /// requires a `rediss://` URL.
    #[must_use]
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificate = Some(pem.into());
        self
    }

    /// Makes the script decide by `clock` instead of the server's time, for tests of the script.
    #[doc(hidden)]
    #[must_use]
    pub fn virtual_time(mut self, clock: impl Clock) -> Self {
        self.virtual_time = Some(Arc::new(clock));
        self
    }

    /// Creates the backend. It connects on the first check, or when the limiter is initialized.
    ///
    /// # Errors
    ///
    /// If the URL is invalid, or if settings contradict each other.
    pub fn build(self) -> Result<RedisBackend, BackendError> {
        let mut url = RedisUrl::parse(&self.url)?;
        url.sentinel_master = self.sentinel_master.or(url.sentinel_master);
        let of_sentinels = &mut url.sentinel_credentials;
        of_sentinels.username = self.sentinel_username.or(of_sentinels.username.take());
        of_sentinels.password = self.sentinel_password.or(of_sentinels.password.take());
        url.cluster = self.cluster.or(url.cluster);
        let is_cluster = url.is_cluster()?;
        if self.ca_certificate.is_some() && !url.tls {
            return Err(BackendError::not_executed(
                "a certificate authority is of use only with TLS: write `rediss://`",
            ));
        }
        if url.tls {
            // The Redis driver selects no cryptography provider for TLS. An error means that the
            // program has already installed one, which is used then.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let deadline = self.deadline.or(url.deadline).unwrap_or(DEFAULT_DEADLINE);
        let options = ConnectOptions {
            credentials: url.credentials.clone(),
            database: url.database,
            tls: url.tls,
            ca_certificate: self.ca_certificate,
            pool_size: self.pool_size.or(url.pool_size).unwrap_or(DEFAULT_POOL_SIZE),
            max_age: self.max_age.or(url.max_age).unwrap_or(DEFAULT_MAX_AGE),
        };
        let servers = if is_cluster {
            Servers::Cluster(Cluster::new(options, url.hosts(), self.virtual_time))
        } else {
            let endpoint = match (&url.location, &url.sentinel_master) {
                (Location::Socket(path), _) => {
                    Endpoint::Address(redis::ConnectionAddr::Unix(path.clone()))
                }
                (Location::Hosts(_), master) => {
                    let mut addresses: Vec<_> = url
                        .hosts()
                        .iter()
                        .map(|(host, port)| options.address(host, *port))
                        .collect();
                    match master {
                        Some(master) => Endpoint::Sentinel(Sentinels {
                            addresses,
                            master: master.clone(),
                            credentials: url.sentinel_credentials.clone(),
                        }),
                        // A URL of this kind has at least one host, so this cannot panic.
                        None => Endpoint::Address(addresses.swap_remove(0)),
                    }
                }
            };
            let connector = Connector::new(options, endpoint);
            Servers::Single(Node::new(connector, self.virtual_time, None))
        };
        let key_prefix = self.key_prefix.or(url.key_prefix);
        let key_prefix = key_prefix.unwrap_or_else(|| DEFAULT_KEY_PREFIX.to_owned());
        Ok(RedisBackend { key_prefix, deadline, servers })
    }
}

impl fmt::Debug for RedisBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL is left out, because it may contain a password.
        f.debug_struct("RedisBackendBuilder").finish_non_exhaustive()
    }
}
