//! Streams to servers: TCP, TLS over TCP, and Unix sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::address::ServerAddress;
use super::socket::{HomeStream, Socket};
use super::tls::TlsClient;

/// The time after which an idle connection is probed, and between the probes. Load balancers and
/// NAT forget connections that have been idle for some minutes.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to a server; over TLS if `tls` is given. Returns the stream, and its socket if that can
/// be lent.
pub(super) async fn connect(
    address: &ServerAddress,
    tls: Option<&TlsClient>,
) -> io::Result<(Box<dyn Stream>, Option<Arc<Socket>>)> {
    let (host, port) = match address {
        ServerAddress::Tcp { host, port } => (host, *port),
        #[cfg(unix)]
        ServerAddress::Socket(path) => {
            return Ok((Box::new(tokio::net::UnixStream::connect(path).await?), None));
        }
        #[cfg(not(unix))]
        ServerAddress::Socket(_) => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this system has no Unix sockets: name a host",
            ));
        }
    };
    let tcp = connect_first(tokio::net::lookup_host((host.as_str(), port)).await?).await?;
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(&tcp).set_tcp_keepalive(&keepalive)?;
    let Some(tls) = tls else {
        let socket = Socket::new(tcp);
        return Ok((Box::new(HomeStream(Arc::clone(&socket))), Some(socket)));
    };
    let name = tls.name(host).map_err(io::Error::other)?;
    Ok((Box::new(tls.connector().await.connect(name, tcp).await?), None))
}

/// Connects to all addresses of a host at once, and returns the first connection, so that an address
/// at which nobody answers costs no time.
async fn connect_first(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for address in addresses {
        attempts.spawn(TcpStream::connect(address));
    }
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}
