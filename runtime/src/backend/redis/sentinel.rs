//! Sentinels, which are asked for the address of the master.

use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncConnectionConfig, RedisError, Value};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::address::ServerAddress;
use super::connect_options::{ConnectOptions, login};
use super::credentials::{CredentialSource, RedisCredentials};
use super::failure::RequestError;
use super::server_connection::{ConnectFailure, ServerConnection};
use super::tls::TlsClient;
use crate::without_secrets::shown;

/// The sentinels of a master.
pub(super) struct Sentinels {
    pub(super) addresses: Vec<ServerAddress>,
    /// The name of the master.
    pub(super) master: String,
    /// The user and password for the sentinels. If there are none and the sentinels want a password,
    /// they get that of the server.
    pub(super) credentials: CredentialSource,
    /// `None` for connections to sentinels without TLS.
    pub(super) tls: Option<TlsClient>,
}

/// A step of the search for the master that has succeeded.
enum SentinelStep {
    /// A sentinel reports the server at this address.
    Reported(ServerAddress),
    /// The server at this address says that it is the master.
    Master(ServerAddress),
}

impl Sentinels {
    /// Returns the address that the sentinels report for the master. They are asked at once, and the
    /// first report of a server counts that says itself that it is the master: a sentinel may not
    /// know yet that there is another one.
    pub(super) async fn master_address(
        self: &Arc<Self>,
        options: &ConnectOptions,
        timeout: Duration,
    ) -> Result<ServerAddress, RequestError> {
        let deadline = Instant::now() + timeout;
        let mut tasks = JoinSet::new();
        for address in self.addresses.clone() {
            let (itself, options) = (Arc::clone(self), options.clone());
            tasks.spawn(async move { itself.ask(&address, &options).await });
        }
        let mut reported = Vec::new();
        let mut failures = Vec::new();
        while let Ok(Some(found)) = timeout_at(deadline, tasks.join_next()).await {
            match found {
                Ok(Ok(SentinelStep::Master(address))) => return Ok(address),
                Ok(Ok(SentinelStep::Reported(address))) if !reported.contains(&address) => {
                    reported.push(address.clone());
                    let options = options.clone();
                    tasks.spawn(async move { verify(address, &options).await });
                }
                Ok(Ok(SentinelStep::Reported(_))) => {}
                Ok(Err(failure)) => failures.push(failure),
                Err(error) => failures.push(ConnectFailure::passing(error.to_string())),
            }
        }
        Err(self.failed(failures, !tasks.is_empty()))
    }

    /// Returns the error of a search without a result. It tells the failure that says most: one that
    /// waiting does not heal.
    fn failed(&self, mut failures: Vec<ConnectFailure>, some_hang: bool) -> RequestError {
        failures.sort_by_key(|failure| !failure.is_lasting);
        let master = shown(&self.master);
        let reason = failures.first().map_or("none answers", |failure| &failure.reason);
        let text = format!("no sentinel names a master `{master}`: {reason}");
        if failures.iter().any(|failure| failure.lacks_credentials) {
            return RequestError::NoCredentials(text);
        }
        // Another sentinel may still answer later.
        if !some_hang && !failures.is_empty() && failures.iter().all(|failure| failure.is_lasting) {
            RequestError::Permanent(text)
        } else {
            RequestError::Unconnected(text)
        }
    }

    /// Asks one sentinel.
    async fn ask(
        &self,
        address: &ServerAddress,
        options: &ConnectOptions,
    ) -> Result<SentinelStep, ConnectFailure> {
        let told = |failure: ConnectFailure| of(&format!("the sentinel {address}"), failure);
        let own = self.credentials.get().await.map_err(ConnectFailure::of_credentials)?;
        let reply = match self.ask_as(address, &own).await {
            Err(failure) if failure.wants_password && self.credentials.is_empty() => {
                let shared =
                    options.credentials.get().await.map_err(ConnectFailure::of_credentials)?;
                if shared.get_password().is_none() {
                    return Err(told(failure));
                }
                self.ask_as(address, &shared).await
            }
            reply => reply,
        };
        let unknown = |text: &str| ConnectFailure { is_lasting: true, ..told(failure(text)) };
        match reply.map_err(told)? {
            Value::Nil => Err(unknown("it knows no master of this name")),
            Value::Array(parts) => match parts.iter().map(text).collect::<Vec<_>>().as_slice() {
                [Some(host), Some(port)] => match port.parse() {
                    Ok(port) => Ok(SentinelStep::Reported(ServerAddress::tcp(host, port))),
                    Err(_) => Err(told(failure("its answer makes no sense"))),
                },
                _ => Err(told(failure("its answer makes no sense"))),
            },
            _ => Err(told(failure("its answer makes no sense"))),
        }
    }

    async fn ask_as(
        &self,
        address: &ServerAddress,
        credentials: &RedisCredentials,
    ) -> Result<Value, ConnectFailure> {
        let (tls, config) = (self.tls.as_ref(), AsyncConnectionConfig::new());
        let mut sentinel =
            ServerConnection::open(address, tls, &login(credentials), config).await?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        query(&mut sentinel, &command).await.map_err(|error| ConnectFailure::of_server(&error))
    }
}

/// Verifies that the server at an address is the master.
async fn verify(
    address: ServerAddress,
    options: &ConnectOptions,
) -> Result<SentinelStep, ConnectFailure> {
    let told = |failure: ConnectFailure| of(&format!("the master {address}"), failure);
    let opened = options.open(&address, AsyncConnectionConfig::new()).await;
    let (mut server, _) = opened.map_err(told)?;
    let role = query(&mut server, &redis::cmd("ROLE")).await;
    let role = role.map_err(|error| told(ConnectFailure::of_server(&error)))?;
    match &role {
        Value::Array(parts) if parts.first().and_then(text) == Some("master") => {
            Ok(SentinelStep::Master(address))
        }
        _ => Err(failure(&format!("{address} is no master yet, or no longer"))),
    }
}

async fn query(
    connection: &mut ServerConnection,
    command: &redis::Cmd,
) -> Result<Value, RedisError> {
    connection.send_packed_command(command).await?.extract_error()
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn failure(reason: &str) -> ConnectFailure {
    ConnectFailure::passing(reason.to_owned())
}

/// Adds to a failure which server it is of, and to a refused password which of the two it is.
fn of(server: &str, failure: ConnectFailure) -> ConnectFailure {
    let reason = failure.reason.trim_end_matches('.');
    let is_of_password =
        failure.wants_password || reason.contains("WRONGPASS") || reason.contains("uthentication");
    let hint = if is_of_password {
        " (the user and password of the master stand before `@`, those of sentinels in \
         `sentinel_username` and `sentinel_password`)"
    } else {
        ""
    };
    ConnectFailure { reason: format!("{server}: {reason}{hint}"), ..failure }
}
