//! The client of a request: the peer, or the one that trusted proxies name.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderValue, Request};
use tollgate::{ClientAddr, HttpOptions, Limiter, MemoryBackend, set_limiter};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Finds clients, by the library's own reading of the header.
pub(crate) struct Clients {
    /// `true` if the user names proxies.
    trusts: bool,
}

impl Clients {
    /// # Errors
    ///
    /// If one of these is no network.
    pub(crate) fn new(trusted_proxies: &[String]) -> Result<Self, String> {
        let options =
            Self::options(trusted_proxies)?.peer(|parts| parts.extensions.get::<IpAddr>().copied());
        set_limiter(Limiter::builder(MemoryBackend::new()).http(options).build());
        Ok(Self { trusts: !trusted_proxies.is_empty() })
    }

    /// # Errors
    ///
    /// If one of these is no network.
    pub(crate) fn options(trusted_proxies: &[String]) -> Result<HttpOptions, String> {
        // The last is the one that a log without peers has instead.
        let trusted = trusted_proxies.iter().map(String::as_str).chain([NOBODY_TEXT]);
        HttpOptions::new().trusted_proxies(trusted).map_err(|error| error.to_string())
    }

    /// Returns the client as `key = ip` counts it; `None` if the line names nobody. `forwarded` is
    /// the header's value.
    pub(crate) fn subject<'a>(
        &self,
        peer: Option<&'a str>,
        forwarded: Option<&str>,
    ) -> Option<Cow<'a, str>> {
        let address = match peer {
            Some(peer) => match address(peer) {
                Some(address) => address,
                // The name of a host, or a socket.
                None => return Some(Cow::Borrowed(peer)),
            },
            None => NOBODY,
        };
        if peer.is_some() && !self.trusts {
            return Some(text(address.to_canonical()).into());
        }
        let mut request = Request::new(());
        if let Some(forwarded) = forwarded {
            // Text that is no header's is no address, either.
            let value = HeaderValue::from_str(forwarded);
            let value = value.unwrap_or(const { HeaderValue::from_static("?") });
            request.headers_mut().insert(FORWARDED_FOR, value);
        }
        request.extensions_mut().insert(address);
        let client = ClientAddr::of(&request.into_parts().0)?.ip();
        (client != NOBODY).then(|| text(client).into())
    }
}

/// The dummy address of RFC 7600, which no peer has.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8));
const NOBODY_TEXT: &str = "192.0.0.8";

/// Reads an address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let socket = || text.parse().ok().map(|socket: SocketAddr| socket.ip());
    text.parse().ok().or_else(socket)
}

/// IPv6 counts by its /64.
fn text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
            format!("{network}/64")
        }
    }
}
