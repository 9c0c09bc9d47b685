//! The options of a limiter for HTTP.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderName;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::header_style::{HeaderStyle, LegacyReset};
use super::refusal::Refusal;
use crate::key::{
    AddressOptions, ClientHeader, ForwardedHeader, KeyError, Nat64Prefix, Network, OnMissingKey,
};
use crate::once_each::OnceEach;

pub(crate) type RefusalFunction = Arc<dyn Fn(&Refusal<'_>) -> Response + Send + Sync>;

/// The options of a limiter for HTTP. Pass them to
/// [`LimiterBuilder::http`](crate::LimiterBuilder::http). A policy's own options take precedence.
///
/// ```
/// use tollgate::http::HeaderStyle;
/// use tollgate::{HttpOptions, Limiter, MemoryBackend};
///
/// let http = HttpOptions::new()
///     .trusted_proxies(["10.0.0.0/8", "2001:db8::7"])?
///     .headers(HeaderStyle::Both);
/// let limiter = Limiter::builder(MemoryBackend::new()).http(http).build();
/// # Ok::<_, tollgate::http::HttpOptionsError>(())
/// ```
#[derive(Clone)]
pub struct HttpOptions {
    pub(crate) address: AddressOptions,
    pub(crate) headers: HeaderStyle,
    pub(crate) legacy_reset: LegacyReset,
    pub(crate) on_missing_key: OnMissingKey,
    pub(crate) refusal: Option<RefusalFunction>,
    /// The mistakes in the server that were logged.
    mistakes: Arc<OnceEach>,
}

impl HttpOptions {
    /// Creates the default options: no trusted proxies, IPv6 clients counted by /64, IETF header
    /// fields, and problem details as the body of refusals.
    #[must_use]
    pub fn new() -> Self {
        Self {
            address: AddressOptions::new(),
            headers: HeaderStyle::default(),
            legacy_reset: LegacyReset::default(),
            on_missing_key: OnMissingKey::default(),
            refusal: None,
            mistakes: Arc::default(),
        }
    }

    /// Trusts these proxies to name the clients whose requests they forward. An entry is a network
    /// such as `10.0.0.0/8`, or a single address. By default no proxy is trusted, and the client is
    /// the peer of the connection.
    ///
    /// The header is read from the right, because the nearest proxy has written its last entry. The
    /// first address from there that is not a trusted proxy is the client's. An entry that cannot
    /// be parsed ends the search; then the client is the proxy that was found last. That, and a
    /// trusted proxy that names nobody, is logged once for each proxy.
    ///
    /// # Errors
    ///
    /// If an entry is neither a network nor an address.
    pub fn trusted_proxies<I>(mut self, proxies: I) -> Result<Self, HttpOptionsError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.address.set_trusted_proxies(networks(proxies)?);
        Ok(self)
    }

    /// Sets the header in which trusted proxies name the client. It replaces an earlier
    /// [`client_header`](Self::client_header).
    #[must_use]
    pub fn forwarded_header(mut self, header: ForwardedHeader) -> Self {
        self.address.client_header = header.into();
        self
    }

    /// Sets a header that contains nothing but the client's address, such as `x-real-ip` or
    /// `cf-connecting-ip`. It is read instead of the [`forwarded_header`](Self::forwarded_header),
    /// and only if the peer is one of the [`trusted_proxies`](Self::trusted_proxies). The nearest
    /// proxy must set it on every request, because any other proxy passes on what the client has
    /// sent.
    ///
    /// # Errors
    ///
    /// If this is no name of a header, or one whose value is a list: set those by
    /// `forwarded_header`.
    pub fn client_header(mut self, name: impl AsRef<str>) -> Result<Self, HttpOptionsError> {
        let text = name.as_ref().trim();
        let wrong = |kind: fn(String) -> _| HttpOptionsError(kind(text.to_owned()));
        if text.eq_ignore_ascii_case("x-forwarded-for") || text.eq_ignore_ascii_case("forwarded") {
            return Err(wrong(HttpOptionsErrorKind::ListHeader));
        }
        let name = HeaderName::from_bytes(text.as_bytes());
        let name = name.map_err(|_| wrong(HttpOptionsErrorKind::Header))?;
        self.address.client_header = ClientHeader::Single(name);
        Ok(self)
    }

    /// Calls `function` to find the address of the connection's other end. Set it if the server
    /// does not provide `ConnectInfo<SocketAddr>`: for Unix sockets, TLS acceptors, tonic, AWS
    /// Lambda, or a listener of your own. If `function` returns `None`, `ConnectInfo<SocketAddr>`
    /// is used.
    ///
    /// The address may be that of a proxy, so `trusted_proxies` apply to it. The function must not
    /// read what clients can send, such as headers.
    ///
    /// ```
    /// use std::net::{IpAddr, Ipv4Addr};
    /// use tollgate::HttpOptions;
    ///
    /// // Behind nginx, on a Unix socket: all connections come from this machine.
    /// let http = HttpOptions::new()
    ///     .peer(|_| Some(IpAddr::V4(Ipv4Addr::LOCALHOST)))
    ///     .trusted_proxies(["127.0.0.1"])?;
    /// # Ok::<_, tollgate::http::HttpOptionsError>(())
    /// ```
    #[must_use]
    pub fn peer(
        mut self,
        function: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.address.peer = Some(Arc::new(function));
        self
    }

    /// Names the prefixes under which your own translators (NAT64, SIIT) write IPv4 addresses (RFC
    /// 6052). Their clients are then counted by their IPv4 addresses. The well-known prefix
    /// `64:ff9b::/96` need not be named.
    ///
    /// # Errors
    ///
    /// If an entry is no IPv6 network of 32, 40, 48, 56, 64 or 96 bits, or has other bits after
    /// them or in bits 64 to 71.
    pub fn nat64_prefixes<I>(mut self, prefixes: I) -> Result<Self, HttpOptionsError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let prefixes = prefixes.into_iter().map(|prefix| {
            let text = prefix.as_ref().trim();
            Nat64Prefix::parse(text)
                .ok_or_else(|| HttpOptionsError(HttpOptionsErrorKind::Nat64(text.to_owned())))
        });
        self.address.set_nat64_prefixes(prefixes.collect::<Result<_, _>>()?);
        Ok(self)
    }

    /// Counts IPv6 clients by the first `bits` bits of their address. The default is 64, the
    /// smallest network that a subscriber is given (RFC 6177); many have a /56 or a /48.
    ///
    /// # Errors
    ///
    /// If `bits` is not in 1 to 128.
    pub fn ipv6_prefix(mut self, bits: u8) -> Result<Self, HttpOptionsError> {
        if !(1..=128).contains(&bits) {
            return Err(HttpOptionsError(HttpOptionsErrorKind::Prefix(bits)));
        }
        self.address.ipv6_prefix = bits;
        Ok(self)
    }

    /// Sets the header fields with which responses describe limits to clients.
    #[must_use]
    pub fn headers(mut self, style: HeaderStyle) -> Self {
        self.headers = style;
        self
    }

    /// Sets the meaning of `X-RateLimit-Reset`.
    #[must_use]
    pub fn legacy_reset(mut self, reset: LegacyReset) -> Self {
        self.legacy_reset = reset;
        self
    }

    /// Sets the handling of requests that lack the key of their limit.
    #[must_use]
    pub fn on_missing_key(mut self, mode: OnMissingKey) -> Self {
        self.on_missing_key = mode;
        self
    }

    /// Responds to refusals with the result of `function`. `Retry-After` and `Cache-Control` are
    /// added if the result lacks them. The header fields that describe the limit (see
    /// [`headers`](Self::headers)) are always added.
    ///
    /// ```
    /// use tollgate::http::Refusal;
    /// use tollgate::HttpOptions;
    ///
    /// let http = HttpOptions::new().refusal(|refusal: &Refusal<'_>| {
    ///     refusal.problem().detail("Slow down, please.").instance("urn:uuid:…")
    /// });
    /// ```
    #[must_use]
    pub fn refusal<R: IntoResponse>(
        mut self,
        function: impl Fn(&Refusal<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.refusal = Some(Arc::new(move |refusal| function(refusal).into_response()));
        self
    }
}

impl HttpOptions {
    /// Logs a mistake in the server because of which requests lack the key of a policy. Each mistake
    /// is logged once for each policy, except that an address is missing for all of them alike.
    pub(crate) fn log_mistake(&self, policy: &str, error: KeyError) {
        let Some(advice) = error.advice() else { return };
        let of_policy = if error == KeyError::NoConnectInfo { "" } else { policy };
        if self.mistakes.is_first(&(error, of_policy)) {
            tracing::warn!(policy, "cannot tell whose request it is: {advice}");
        }
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("address", &self.address)
            .field("headers", &self.headers)
            .field("legacy_reset", &self.legacy_reset)
            .field("on_missing_key", &self.on_missing_key)
            .field("refusal", &self.refusal.is_some())
            .finish()
    }
}

/// The error for an invalid value of an option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct HttpOptionsError(HttpOptionsErrorKind);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum HttpOptionsErrorKind {
    #[error("`{0}` is no network: write it as `10.0.0.0/8` or `fd00::/8`, or write one address")]
    Network(String),
    #[error(
        "`{0}` is no prefix for IPv4 addresses: write an IPv6 network of 32, 40, 48, 56, 64 or 96 \
         bits (RFC 6052), such as `2001:db8:64::/96`"
    )]
    Nat64(String),
    #[error("`{0}` is no name of a header: write a name such as `x-real-ip`")]
    Header(String),
    #[error("`{0}` contains a list of addresses: set it by `forwarded_header`")]
    ListHeader(String),
    #[error("an IPv6 prefix has 1 to 128 bits, not {0}")]
    Prefix(u8),
}

/// Parses networks and single addresses.
pub(crate) fn networks<I>(networks: I) -> Result<Vec<Network>, HttpOptionsError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let parse = |network: I::Item| {
        let text = network.as_ref().trim();
        Network::parse(text)
            .ok_or_else(|| HttpOptionsError(HttpOptionsErrorKind::Network(text.to_owned())))
    };
    networks.into_iter().map(parse).collect()
}
