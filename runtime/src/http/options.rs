//! What a limiter does at the HTTP boundary, unless a policy says otherwise.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use ipnet::{IpNet, Ipv4Net};

use super::refusal::Refusal;

/// How responses tell clients of their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeaderStyle {
    /// `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11. The
    /// default.
    #[default]
    Ietf,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`. They have room for
    /// one quota: the one that refused, else the one of which least remains.
    Legacy,
    /// Both of these.
    Both,
    /// Nothing, so that nobody can count how often they may still guess. `Retry-After` stays.
    None,
}

impl HeaderStyle {
    pub(crate) const fn has_ietf(self) -> bool {
        matches!(self, Self::Ietf | Self::Both)
    }

    pub(crate) const fn has_legacy(self) -> bool {
        matches!(self, Self::Legacy | Self::Both)
    }
}

/// What `X-RateLimit-Reset` says. It was never specified, and both are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LegacyReset {
    /// The Unix time, in seconds, at which the quota is whole again. The default.
    #[default]
    Epoch,
    /// How many seconds until then.
    Delta,
}

/// What happens to a request that lacks what its limit counts by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnMissingKey {
    /// It is refused: with 400 if the client left it out, with 500 if the server should have
    /// put it there. The default.
    #[default]
    Reject,
    /// All such requests are counted together. In a tuple that is so for the missing part alone.
    Shared,
    /// It goes on, uncounted.
    Exempt,
}

/// The one header in which trusted proxies say whose request they pass on. The other is not
/// read: proxies pass on as it is what they do not write themselves, so a client could fill it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`. The default.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

pub(crate) type RefusalFunction = Arc<dyn Fn(&Refusal<'_>) -> Response + Send + Sync>;

/// What a limiter does at the HTTP boundary: give it to
/// [`LimiterBuilder::http`](crate::LimiterBuilder::http). What a policy says itself comes first.
///
/// ```
/// use tollgate::{HeaderStyle, HttpOptions, Limiter, MemoryBackend};
///
/// let http = HttpOptions::new()
///     .trusted_proxies(["10.0.0.0/8", "2001:db8::7"])?
///     .headers(HeaderStyle::Both);
/// let limiter = Limiter::builder(MemoryBackend::new()).http(http).build();
/// # Ok::<_, tollgate::HttpOptionsError>(())
/// ```
#[derive(Clone)]
pub struct HttpOptions {
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) forwarded_header: ForwardedHeader,
    pub(crate) ipv6_prefix: u8,
    pub(crate) headers: HeaderStyle,
    pub(crate) legacy_reset: LegacyReset,
    pub(crate) on_missing_key: OnMissingKey,
    pub(crate) refusal: Option<RefusalFunction>,
}

impl HttpOptions {
    /// The defaults: no proxy is trusted, IPv6 counts by /64, IETF headers, problem details.
    #[must_use]
    pub fn new() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            ipv6_prefix: 64,
            headers: HeaderStyle::default(),
            legacy_reset: LegacyReset::default(),
            on_missing_key: OnMissingKey::default(),
            refusal: None,
        }
    }

    /// Believes what these proxies say of whose requests they pass on: networks as
    /// `10.0.0.0/8`, or single addresses. Without this, the client is whoever has connected.
    ///
    /// The header is read from the right, where the nearest proxy has written. The first address
    /// that is not trusted is the client's; what cannot be read ends the search, and the request
    /// is counted as the last proxy's own.
    ///
    /// # Errors
    ///
    /// If one is neither a network nor an address.
    pub fn trusted_proxies<I>(mut self, proxies: I) -> Result<Self, HttpOptionsError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let proxies = proxies.into_iter().map(|proxy| network(proxy.as_ref()));
        self.trusted_proxies = proxies.collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// The header in which they say it.
    #[must_use]
    pub fn forwarded_header(mut self, header: ForwardedHeader) -> Self {
        self.forwarded_header = header;
        self
    }

    /// Counts IPv6 clients by so many leading bits of their address, 64 if not given: the least
    /// that a subscriber gets (RFC 6177). Many get 56 or 48.
    ///
    /// # Errors
    ///
    /// If it is not in 1 to 128.
    pub fn ipv6_prefix(mut self, bits: u8) -> Result<Self, HttpOptionsError> {
        if !(1..=128).contains(&bits) {
            return Err(HttpOptionsError(Mistake::Prefix(bits)));
        }
        self.ipv6_prefix = bits;
        Ok(self)
    }

    /// How responses tell clients of their limits.
    #[must_use]
    pub fn headers(mut self, style: HeaderStyle) -> Self {
        self.headers = style;
        self
    }

    /// What `X-RateLimit-Reset` says.
    #[must_use]
    pub fn legacy_reset(mut self, reset: LegacyReset) -> Self {
        self.legacy_reset = reset;
        self
    }

    /// What happens to a request that lacks what its limit counts by.
    #[must_use]
    pub fn on_missing_key(mut self, mode: OnMissingKey) -> Self {
        self.on_missing_key = mode;
        self
    }

    /// Answers refusals with what `function` makes of them. What it leaves out of `Retry-After`,
    /// `Cache-Control` and the rate limit's headers is added.
    ///
    /// ```
    /// use tollgate::{HttpOptions, Refusal};
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

impl Default for HttpOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("trusted_proxies", &self.trusted_proxies)
            .field("forwarded_header", &self.forwarded_header)
            .field("ipv6_prefix", &self.ipv6_prefix)
            .field("headers", &self.headers)
            .field("legacy_reset", &self.legacy_reset)
            .field("on_missing_key", &self.on_missing_key)
            .field("refusal", &self.refusal.is_some())
            .finish()
    }
}

/// An option that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct HttpOptionsError(Mistake);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Mistake {
    #[error(
        "`{0}` is no trusted proxy: write a network as `10.0.0.0/8` or `fd00::/8`, or one address"
    )]
    Network(String),
    #[error("an IPv6 prefix has 1 to 128 bits, not {0}")]
    Prefix(u8),
}

/// A network, or an address alone. IPv4 that is written as IPv6 is IPv4, as clients are.
fn network(text: &str) -> Result<IpNet, HttpOptionsError> {
    let text = text.trim();
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| HttpOptionsError(Mistake::Network(text.to_owned())))?;
    let IpNet::V6(v6) = network else { return Ok(network) };
    let v4 = v6.addr().to_ipv4_mapped().filter(|_| v6.prefix_len() >= 96);
    let v4 = v4.and_then(|v4| Ipv4Net::new(v4, v6.prefix_len() - 96).ok());
    Ok(v4.map_or(network, IpNet::V4))
}
