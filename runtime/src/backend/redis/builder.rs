//! The builder of a [`RedisBackend`].

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::RedisBackend;
use super::address::ServerAddress;
use super::cluster::Cluster;
use super::connect_options::ConnectOptions;
use super::connector::{Connector, Endpoint};
use super::credentials::{CredentialSource, Provider, RedisCredentials, Secret};
use super::discovery::Discovery;
use super::node::Node;
use super::permits::HeldPermits;
use super::sentinel::Sentinels;
use super::server_time::ServerTime;
use super::servers::Servers;
use super::settings::RedisSettings;
use super::tls::{Pem, TlsClient, TlsSettings};
use super::url::{Location, RedisUrl};
use crate::{BackendError, Clock, SystemClock};

const DEFAULT_KEY_PREFIX: &str = "tollgate:";
const DEFAULT_POOL_SIZE: usize = 4;
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(600);
const DEFAULT_DEADLINE: Duration = Duration::from_millis(100);

/// Builder of a [`RedisBackend`]. Its settings take precedence over those in the URL.
#[derive(Clone)]
pub struct RedisBackendBuilder {
    url: String,
    settings: RedisSettings,
    provider: Option<Provider>,
    virtual_time: Option<Arc<dyn Clock>>,
}

impl RedisBackendBuilder {
    pub(super) fn new(url: &str) -> Self {
        let settings = RedisSettings::default();
        Self { url: url.to_owned(), settings, provider: None, virtual_time: None }
    }

    /// Asks a function of the program for the user and password of each new connection, for
    /// credentials that change: tokens of a cloud, secrets of a vault. They replace those of the URL.
    /// Connections that exist go on with the credentials with which they began.
    ///
    /// If the function fails, the connection is not made, and the failure is told like that of a
    /// server that is away; so its text must not contain a secret. It has 2 seconds.
    ///
    /// ```
    /// use tollgate::RedisBackend;
    /// use tollgate::backend::RedisCredentials;
    ///
    /// # async fn token() -> std::io::Result<String> { Ok(String::new()) }
    /// let backend = RedisBackend::builder("rediss://cache.example:6379")
    ///     .credentials(|| async { Ok::<_, std::io::Error>(RedisCredentials::new("app", token().await?)) });
    /// ```
    #[must_use]
    pub fn credentials<F, C, E>(mut self, provider: F) -> Self
    where
        F: Fn() -> C + Send + Sync + 'static,
        C: Future<Output = Result<RedisCredentials, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.provider = Some(Arc::new(move || {
            let credentials = provider();
            Box::pin(async move { credentials.await.map_err(Into::into) })
        }));
        self
    }

    /// Takes the user of the server from a file, which is read anew for each connection. Line breaks
    /// at its end do not count.
    #[must_use]
    pub fn username_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.credentials.username = Some(Secret::File(path.into()));
        self
    }

    /// Takes the password of the server from a file, which is read anew for each connection, so that
    /// it may change. Line breaks at its end do not count.
    #[must_use]
    pub fn password_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.credentials.password = Some(Secret::File(path.into()));
        self
    }

    /// Treats the hosts of the URL as sentinels, and uses the server that they report as the master
    /// called `name`.
    #[must_use]
    pub fn sentinel_master(mut self, name: impl Into<String>) -> Self {
        self.settings.sentinel_master = Some(name.into());
        self
    }

    /// Sets the user as whom the sentinels are asked. It requires a
    /// [`sentinel_password`](Self::sentinel_password).
    #[must_use]
    pub fn sentinel_username(mut self, username: impl Into<String>) -> Self {
        self.settings.sentinel_credentials.username = Some(Secret::Text(username.into()));
        self
    }

    /// Sets the password of the sentinels. Without one, sentinels that want a password get the user
    /// and password of the server, because deployments often have one password for both.
    #[must_use]
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.settings.sentinel_credentials.password = Some(Secret::Text(password.into()));
        self
    }

    /// Takes the user of the sentinels from a file, which is read anew for each connection.
    #[must_use]
    pub fn sentinel_username_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.sentinel_credentials.username = Some(Secret::File(path.into()));
        self
    }

    /// Takes the password of the sentinels from a file, which is read anew for each connection.
    #[must_use]
    pub fn sentinel_password_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.sentinel_credentials.password = Some(Secret::File(path.into()));
        self
    }

    /// Speaks to sentinels over TLS if `true`, and without it if `false`. By default they are spoken
    /// to like the servers.
    #[must_use]
    pub fn sentinel_tls(mut self, tls: bool) -> Self {
        self.settings.sentinel_tls = Some(tls);
        self
    }

    /// Sets the name that the certificates of the sentinels have, if it is not the host of the URL.
    #[must_use]
    pub fn sentinel_server_name(mut self, name: impl Into<String>) -> Self {
        self.settings.sentinel_server_name = Some(name.into());
        self
    }

    /// Sets the prefix of all keys; `tollgate:` by default. Programs that share a server and a
    /// prefix share their counters.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.key_prefix = Some(prefix.into());
        self
    }

    /// Treats the servers as a cluster if `true`. By default several hosts are a cluster, and a
    /// single host is one if it says so.
    #[must_use]
    pub fn cluster(mut self, cluster: bool) -> Self {
        self.settings.cluster = Some(cluster);
        self
    }

    /// Sets the maximum number of connections to one server, at least 1; 4 by default. All checks
    /// share one connection. The others replace it when it is lost.
    #[must_use]
    pub fn pool_size(mut self, size: usize) -> Self {
        self.settings.pool_size = Some(size.max(1));
        self
    }

    /// Sets the maximum duration of an operation, including queueing and connecting; 100 ms by
    /// default. [`LimiterBuilder::deadline`](crate::LimiterBuilder::deadline) takes precedence.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = Some(deadline);
        self
    }

    /// Sets the age at which a connection is replaced, in the background, so that a name that leads
    /// to another server by now is followed; 10 minutes by default.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.settings.max_age = Some(max_age);
        self
    }

    /// Trusts this certificate authority, in PEM, instead of those that the machine trusts. It
    /// requires a `rediss://` URL.
    #[must_use]
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.settings.tls.authority = Some(Pem::Text(pem.into()));
        self
    }

    /// Trusts the certificate authorities in a file, in PEM, instead of those that the machine
    /// trusts. This file and the next two are read anew for each connection, so that they may be
    /// renewed.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.tls.authority = Some(Pem::File(path.into()));
        self
    }

    /// Identifies the program to servers by a certificate and its key, in PEM.
    #[must_use]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.settings.tls.client_certificate = Some(Pem::Text(certificate.into()));
        self.settings.tls.client_key = Some(Pem::Text(key.into()));
        self
    }

    /// Takes the certificate that identifies the program to servers from a file, in PEM. It requires
    /// a [`client_key_file`](Self::client_key_file).
    #[must_use]
    pub fn client_certificate_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.tls.client_certificate = Some(Pem::File(path.into()));
        self
    }

    /// Takes the key of the client certificate from a file, in PEM without a passphrase.
    #[must_use]
    pub fn client_key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.tls.client_key = Some(Pem::File(path.into()));
        self
    }

    /// Sets the name that the server's certificate has, if it is not the host of the URL: for an
    /// address, or a tunnel.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.settings.tls.server_name = Some(name.into());
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
    /// If the URL is invalid, if settings contradict each other, or if a file that they name cannot
    /// be used.
    pub fn build(self) -> Result<RedisBackend, BackendError> {
        let mut url = RedisUrl::parse(&self.url)?;
        url.settings = self.settings.or(url.settings);
        if self.provider.is_some() {
            url.settings.credentials = Default::default();
        }
        let is_cluster = url.is_cluster()?;
        let options = ConnectOptions {
            tls: if url.tls { Some(tls(url.settings.tls.clone())?) } else { None },
            credentials: credentials(&url, self.provider)?,
            database: url.database,
            pool_size: url.settings.pool_size.unwrap_or(DEFAULT_POOL_SIZE),
            max_age: url.settings.max_age.unwrap_or(DEFAULT_MAX_AGE),
        };
        let servers = discovery(&url, options, is_cluster, self.virtual_time)?;
        let place = url.place();
        let deadline = url.settings.deadline.unwrap_or(DEFAULT_DEADLINE);
        let key_prefix = url.settings.key_prefix;
        let key_prefix = key_prefix.unwrap_or_else(|| DEFAULT_KEY_PREFIX.to_owned());
        // The script's text is put together now, so that no check waits for it.
        super::script::prepare();
        let permits = HeldPermits::new(key_prefix.clone(), Arc::clone(&servers), deadline);
        let time = ServerTime::new(Arc::new(SystemClock::new()));
        Ok(RedisBackend { key_prefix, place, deadline, servers, permits, time })
    }
}

/// Returns the source of the credentials of the servers. Files are read once, so that a path that is
/// wrong is told at start.
fn credentials(
    url: &RedisUrl,
    provider: Option<Provider>,
) -> Result<CredentialSource, BackendError> {
    let settings = url.settings.credentials.clone();
    settings.read().map_err(BackendError::not_executed)?;
    url.settings.sentinel_credentials.read().map_err(BackendError::not_executed)?;
    Ok(provider.map_or(CredentialSource::Settings(settings), CredentialSource::Provider))
}

fn tls(settings: TlsSettings) -> Result<TlsClient, BackendError> {
    TlsClient::new(settings).map_err(BackendError::not_executed)
}

/// Returns the servers that the URL names, or those as which its only host may turn out.
fn discovery(
    url: &RedisUrl,
    options: ConnectOptions,
    is_cluster: bool,
    virtual_time: Option<Arc<dyn Clock>>,
) -> Result<Arc<Discovery>, BackendError> {
    let hosts = url.hosts();
    let cluster = || Cluster::new(options.clone(), hosts.clone(), virtual_time.clone());
    let single =
        |endpoint| Node::new(Connector::new(options.clone(), endpoint), virtual_time.clone(), None);
    let mut addresses: Vec<_> =
        hosts.iter().map(|(host, port)| ServerAddress::tcp(host, *port)).collect();
    let endpoint = match (&url.location, &url.settings.sentinel_master) {
        (Location::Socket(path), _) => Endpoint::Address(ServerAddress::Socket(path.clone())),
        (Location::Hosts(_), Some(master)) => {
            let has_tls = url.sentinels_have_tls();
            let credentials = url.settings.sentinel_credentials.clone();
            Endpoint::Sentinel(Arc::new(Sentinels {
                addresses,
                master: master.clone(),
                credentials: CredentialSource::Settings(credentials),
                tls: has_tls.then(|| tls(url.settings.tls_of_sentinels())).transpose()?,
            }))
        }
        (Location::Hosts(_), None) if is_cluster => {
            return Ok(Discovery::told(Servers::Cluster(cluster())));
        }
        (Location::Hosts(_), None) => {
            // A URL of this kind has at least one host, so this cannot panic.
            let host = Endpoint::Address(addresses.swap_remove(0));
            // A cluster has only database 0.
            if url.settings.cluster.is_none() && url.database == 0 {
                return Ok(Discovery::of_host(single(host), cluster()));
            }
            host
        }
    };
    Ok(Discovery::told(Servers::Single(single(endpoint))))
}

impl fmt::Debug for RedisBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL is left out, because it may contain a password.
        f.debug_struct("RedisBackendBuilder").finish_non_exhaustive()
    }
}
