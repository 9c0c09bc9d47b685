//! A connection to a server, with the task that drives it, and the reasons why there is none.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisConnectionInfo, RedisError};
use tokio::task::AbortHandle;

use super::address::ServerAddress;
use super::remedy;
use super::socket::{OwedReply, Socket};
use super::stream;
use super::tls::TlsClient;
use crate::error::with_causes;

/// A connection that is shared by its clones. It is closed when the last of them is dropped.
#[derive(Clone)]
pub(super) struct ServerConnection {
    connection: MultiplexedConnection,
    /// The socket; `None` if it cannot be lent.
    socket: Option<Arc<Socket>>,
    _driver: Arc<Driver>,
}

/// The task that reads and writes. The driver leaves it to whoever has made the stream to end it.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ServerConnection {
    /// Connects, and logs in by `login`.
    pub(super) async fn open(
        address: &ServerAddress,
        tls: Option<&TlsClient>,
        login: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> Result<Self, ConnectFailure> {
        let connected = stream::connect(address, tls).await.map_err(|error| {
            let is_lasting = is_refused_by_tls(&error);
            ConnectFailure { is_lasting, ..ConnectFailure::passing(with_causes(&error)) }
        })?;
        let (stream, socket) = connected;
        match MultiplexedConnection::new_with_config(login, stream, config).await {
            Ok((connection, driver)) => {
                let driver = Driver(tokio::spawn(driver).abort_handle());
                Ok(Self { connection, socket, _driver: Arc::new(driver) })
            }
            Err(error) => Err(ConnectFailure::of_login(&error, tls)),
        }
    }

    pub(super) fn socket(&self) -> Option<&Arc<Socket>> {
        self.socket.as_ref()
    }

    /// Keeps the socket at home until the reply to what is sent now is there; `None` if it is always
    /// there.
    pub(super) fn owe(&self) -> Option<OwedReply> {
        self.socket.as_ref().map(Socket::owe)
    }
}

impl Deref for ServerConnection {
    type Target = MultiplexedConnection;

    fn deref(&self) -> &MultiplexedConnection {
        &self.connection
    }
}

impl DerefMut for ServerConnection {
    fn deref_mut(&mut self) -> &mut MultiplexedConnection {
        &mut self.connection
    }
}

/// The reason why there is no connection.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectFailure {
    pub(super) reason: String,
    /// `true` if waiting does not help, because the server is there and refuses these settings.
    pub(super) is_lasting: bool,
    /// `true` if the server wants a password and got none.
    pub(super) wants_password: bool,
    /// `true` if the source of the credentials has none.
    pub(super) lacks_credentials: bool,
}

impl ConnectFailure {
    /// Creates the failure of a server that may answer soon.
    pub(super) fn passing(reason: String) -> Self {
        Self { reason, ..Self::default() }
    }

    /// Creates the failure of a source of credentials.
    pub(super) fn of_credentials(reason: String) -> Self {
        Self { reason, lacks_credentials: true, ..Self::default() }
    }

    /// Converts an error that the server or the driver returned.
    pub(super) fn of_server(error: &RedisError) -> Self {
        let text = with_causes(error);
        let text = remedy::without_arguments(&text);
        let is_refused =
            error.kind() == ErrorKind::AuthenticationFailed || remedy::cannot_heal(text);
        Self {
            reason: text.to_owned(),
            is_lasting: is_refused || is_refused_by_tls(error),
            wants_password: text.contains("NOAUTH"),
            lacks_credentials: false,
        }
    }

    /// Converts an error of the first exchange with a server. A server closes the connection without
    /// a reason if it expects TLS, or a client certificate.
    fn of_login(error: &RedisError, tls: Option<&TlsClient>) -> Self {
        let mut failure = Self::of_server(error);
        let hint = match tls {
            None if error.is_io_error() => "if it wants TLS, write `rediss://`",
            Some(tls) if !tls.has_client_certificate() => {
                "it may want a client certificate: name it by `client_certificate_file` and \
                 `client_key_file`"
            }
            _ => return failure,
        };
        if error.is_io_error() {
            failure.reason = format!("{} ({hint})", failure.reason.trim_end_matches('.'));
        }
        failure
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Error for ConnectFailure {}

/// Returns `true` if one of the two sides refused the other's certificate, or speaks no TLS.
fn is_refused_by_tls(error: &(dyn Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(cause) = error {
        if cause.is::<rustls::Error>() {
            return true;
        }
        // An I/O error does not have the error that it contains as its source.
        error = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => cause.source(),
        };
    }
    false
}
