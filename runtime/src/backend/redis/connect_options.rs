//! Options for the connections to all servers of a backend.

use std::time::Duration;

use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo};
use tokio::time::timeout;

use super::address::ServerAddress;
use super::credentials::{CredentialSource, RedisCredentials};
use super::server_connection::{ConnectFailure, ServerConnection};
use super::tls::TlsClient;

/// Timeout for connecting and logging in. A check waits no longer than its own deadline. If the
/// connection is ready after that, it serves later checks.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(super) struct ConnectOptions {
    pub(super) credentials: CredentialSource,
    pub(super) database: i64,
    /// `None` for connections without TLS.
    pub(super) tls: Option<TlsClient>,
    pub(super) pool_size: usize,
    /// The age at which a connection is replaced.
    pub(super) max_age: Duration,
}

impl ConnectOptions {
    /// Connects to a server, with its present credentials. Returns the name of the user, too, if
    /// there is one.
    pub(super) async fn open(
        &self,
        address: &ServerAddress,
        config: AsyncConnectionConfig,
    ) -> Result<(ServerConnection, Option<String>), ConnectFailure> {
        let credentials = self.credentials.get().await.map_err(ConnectFailure::of_credentials)?;
        let login = login(&credentials)
            // RESP3, so that a lost connection is noticed even while no request is in progress.
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(self.database);
        let user = credentials.get_username().map(str::to_owned);
        let opened = ServerConnection::open(address, self.tls.as_ref(), &login, config);
        match timeout(CONNECT_TIMEOUT, opened).await {
            Ok(connection) => Ok((connection?, user)),
            Err(_) => Err(ConnectFailure::passing(format!("no answer within {CONNECT_TIMEOUT:?}"))),
        }
    }
}

/// Returns the driver's description of the beginning of a connection.
pub(super) fn login(credentials: &RedisCredentials) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default()
        // Without `CLIENT SETINFO`: servers before 7.2 count it as an error, and users with few
        // rights may not use it.
        .set_skip_set_lib_name();
    if let Some(username) = credentials.get_username() {
        login = login.set_username(username);
    }
    if let Some(password) = credentials.get_password() {
        login = login.set_password(password);
    }
    login
}
