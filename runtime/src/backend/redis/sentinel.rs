//! Sentinels, which are asked for the address of the master.

use std::time::Duration;

use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{ConnectionAddr, RedisError, TlsMode};

use super::connect_options::ConnectOptions;
use super::credentials::Credentials;
use super::failure::RequestError;
use super::remedy::{cannot_heal, without_arguments};

/// The sentinels of a master.
pub(super) struct Sentinels {
    pub(super) addresses: Vec<ConnectionAddr>,
    /// The name of the master.
    pub(super) master: String,
    /// The user and password for the sentinels. If there are none and the sentinels want a password,
    /// they get that of the server.
    pub(super) credentials: Credentials,
}

impl Sentinels {
    /// Returns the address that the sentinels report for the master.
    pub(super) async fn master_address(
        &self,
        options: &ConnectOptions,
        timeout: Duration,
    ) -> Result<ConnectionAddr, RequestError> {
        let failed = |reason: &str| {
            let master = &self.master;
            let text = format!("no sentinel names a master `{master}`: {reason}");
            if cannot_heal(reason) {
                RequestError::Permanent(text)
            } else {
                RequestError::Unconnected(text)
            }
        };
        match tokio::time::timeout(timeout, self.ask(options)).await {
            Ok(found) => found.map_err(|error| failed(without_arguments(&reason(&error)))),
            Err(_) => Err(failed("none answers")),
        }
    }

    async fn ask(&self, options: &ConnectOptions) -> Result<ConnectionAddr, RedisError> {
        let failure = match self.ask_with(options, &self.credentials).await {
            Ok(address) => return Ok(address),
            Err(failure) => failure,
        };
        let shared = &options.credentials;
        // The driver returns the failure of the last sentinel. If that one cannot be reached, the
        // others may still have asked for a password.
        let may_want_password = is_without_password(&failure) || failure.is_io_error();
        if self.credentials.password.is_some() || shared.password.is_none() || !may_want_password {
            return Err(failure);
        }
        match self.ask_with(options, shared).await {
            Err(_) if !is_without_password(&failure) => Err(failure),
            found => found,
        }
    }

    /// Asks the sentinels with these credentials. The driver also connects to the server that they
    /// report, to verify that it is the master.
    async fn ask_with(
        &self,
        options: &ConnectOptions,
        credentials: &Credentials,
    ) -> Result<ConnectionAddr, RedisError> {
        let mut client = SentinelClientBuilder::new(
            self.addresses.iter().cloned(),
            self.master.as_str(),
            SentinelServerType::Master,
        )?
        .set_client_to_redis_db(options.database);
        if let Some(username) = &credentials.username {
            client = client.set_client_to_sentinel_username(username);
        }
        if let Some(password) = &credentials.password {
            client = client.set_client_to_sentinel_password(password);
        }
        if let Some(username) = &options.credentials.username {
            client = client.set_client_to_redis_username(username);
        }
        if let Some(password) = &options.credentials.password {
            client = client.set_client_to_redis_password(password);
        }
        if options.tls {
            client = client.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = options.certificates() {
            client = client
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        let client = client.build()?.async_get_client().await?;
        Ok(client.get_connection_info().addr().clone())
    }
}

/// Returns `true` if a server answered that it wants a password.
fn is_without_password(error: &RedisError) -> bool {
    error.code() == Some("NOAUTH")
}

/// Returns the text of an error. It tells which password is whose, because the error does not tell
/// if a sentinel or the master refused it.
fn reason(error: &RedisError) -> String {
    let is_refused =
        is_without_password(error) || error.kind() == redis::ErrorKind::AuthenticationFailed;
    if is_refused {
        format!(
            "{} (the user and password of the master stand before `@`, those of sentinels in \
             `sentinel_username` and `sentinel_password`)",
            error.to_string().trim_end_matches('.')
        )
    } else {
        error.to_string()
    }
}
