//! The options of a limiter for HTTP.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use ipnet::{IpNet, Ipv4Net};

use super::header_style::{HeaderStyle, LegacyReset};
use super::refusal::Refusal;
use crate::key::{AddressOptions, ForwardedHeader, OnMissingKey};

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
    pub(crate) refused_body: RefusedBody,
}

/// The limits on the reading of a refused request's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefusedBody {
    pub(crate) max_bytes: u64,
    pub(crate) max_time: Duration,
}

impl RefusedBody {
    const DEFAULT: Self = Self { max_bytes: 2 * 1024 * 1024, max_time: Duration::from_secs(5) };
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
            refused_body: RefusedBody::DEFAULT,
        }
    }

    /// Trusts these proxies to name the clients whose requests they forward. An entry is a network
    /// such as `10.0.0.0/8`, or a single address. By default no proxy is trusted, and the client is
    /// the peer of the connection.
    ///
    /// The header is read from the right, because the nearest proxy has written its last entry. The
    /// first address from there that is not a trusted proxy is the client's. An entry that cannot
    /// be parsed ends the search; then the client is the proxy that was found last.
    ///
    /// # Errors
    ///
    /// If an entry is neither a network nor an address.
    pub fn trusted_proxies<I>(mut self, proxies: I) -> Result<Self, HttpOptionsError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let proxies = proxies.into_iter().map(|proxy| network(proxy.as_ref()));
        self.address.trusted_proxies = proxies.collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Sets the header in which trusted proxies name the client.
    #[must_use]
    pub fn forwarded_header(mut self, header: ForwardedHeader) -> Self {
        self.address.forwarded_header = header;
        self
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

    /// Sets how many bytes of a refused request's body are read and discarded over HTTP/1, and for
    /// how long. The default is 2 MiB (2,097,152 bytes) and 5 seconds. With 0 bytes nothing is read.
    ///
    /// Many clients and proxies read a response only after they have sent the whole request. If the
    /// server closes the connection before that, they do not see the refusal, and a proxy may take
    /// the server for broken. Set at least the largest body that a proxy in front lets through
    /// (nginx: 1 MB unless `client_max_body_size` is set). The
    /// [security guide](crate::guide::security) says more.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tollgate::HttpOptions;
    ///
    /// let http = HttpOptions::new().refused_body(32 * 1024 * 1024, Duration::from_secs(10));
    /// ```
    #[must_use]
    pub fn refused_body(mut self, max_bytes: u64, max_time: Duration) -> Self {
        self.refused_body = RefusedBody { max_bytes, max_time };
        self
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
            .field("trusted_proxies", &self.address.trusted_proxies)
            .field("forwarded_header", &self.address.forwarded_header)
            .field("ipv6_prefix", &self.address.ipv6_prefix)
            .field("headers", &self.headers)
            .field("legacy_reset", &self.legacy_reset)
            .field("on_missing_key", &self.on_missing_key)
            .field("refusal", &self.refusal.is_some())
            .field("refused_body", &self.refused_body)
            .finish()
    }
}

/// The error for an invalid value of an option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct HttpOptionsError(HttpOptionsErrorKind);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum HttpOptionsErrorKind {
    #[error(
        "`{0}` is no trusted proxy: write a network as `10.0.0.0/8` or `fd00::/8`, or one address"
    )]
    Network(String),
    #[error("an IPv6 prefix has 1 to 128 bits, not {0}")]
    Prefix(u8),
}

/// Parses a network or a single address. IPv4-mapped IPv6 addresses are converted to IPv4, as the
/// addresses of clients are.
fn network(text: &str) -> Result<IpNet, HttpOptionsError> {
    let text = text.trim();
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network =
        network.map_err(|_| HttpOptionsError(HttpOptionsErrorKind::Network(text.to_owned())))?;
    let IpNet::V6(v6) = network else { return Ok(network) };
    let v4 = v6.addr().to_ipv4_mapped().filter(|_| v6.prefix_len() >= 96);
    let v4 = v4.and_then(|v4| Ipv4Net::new(v4, v6.prefix_len() - 96).ok());
    Ok(v4.map_or(network, IpNet::V4))
}
