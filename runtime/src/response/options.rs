//! The options of a limiter for HTTP.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderName;
use axum::http::request::Parts;
use axum::response::IntoResponse;

use super::effective_http_options::{EffectiveHttpOptions, RefusalFunction};
use super::header_style::{HeaderStyle, LegacyReset};
use super::refusal::Refusal;
use super::refused_body::RefusedBody;
use super::reset_time::{ResetTime, WallClocks};
use crate::error::fmt_with_causes;
use crate::key::{
    AddressOptions, ClientHeader, ForwardedHeader, Nat64Prefix, Network, OnMissingKey, PeerFunction,
};
use crate::once_each::OnceEach;
use crate::subject_hash::{Pepper, PepperError, SubjectHash};
use crate::without_secrets::shown;

/// The options of a limiter for HTTP. Pass them to
/// [`LimiterBuilder::http`](crate::LimiterBuilder::http). A policy's own options take precedence.
///
/// Each option has a default until it is set. So the options of a program and those of a
/// configuration file are joined one by one: see
/// [`LimiterBuilder::http`](crate::LimiterBuilder::http).
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
#[derive(Clone, Default)]
pub struct HttpOptions {
    trusted_proxies: Option<Vec<Network>>,
    nat64_prefixes: Option<Vec<Nat64Prefix>>,
    peer: Option<PeerFunction>,
    client_header: Option<ClientHeader>,
    ipv6_prefix: Option<u8>,
    pepper: Option<Pepper>,
    hash_subjects: Option<bool>,
    headers: Option<HeaderStyle>,
    legacy_reset: Option<LegacyReset>,
    on_missing_key: Option<OnMissingKey>,
    refusal: Option<RefusalFunction>,
    refused_body: Option<RefusedBody>,
}

impl HttpOptions {
    /// Creates the default options: no trusted proxies, IPv6 clients counted by /64, IETF header
    /// fields, and problem details as the body of refusals.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins two sets of options. An option that only one of them sets is taken from there. An
    /// option that both set is taken from `self`.
    pub(crate) fn or(self, other: Self) -> Self {
        // The fields are listed without `..`, so that an option that is missing here does not
        // compile.
        Self {
            trusted_proxies: self.trusted_proxies.or(other.trusted_proxies),
            nat64_prefixes: self.nat64_prefixes.or(other.nat64_prefixes),
            peer: self.peer.or(other.peer),
            client_header: self.client_header.or(other.client_header),
            ipv6_prefix: self.ipv6_prefix.or(other.ipv6_prefix),
            pepper: self.pepper.or(other.pepper),
            hash_subjects: self.hash_subjects.or(other.hash_subjects),
            headers: self.headers.or(other.headers),
            legacy_reset: self.legacy_reset.or(other.legacy_reset),
            on_missing_key: self.on_missing_key.or(other.on_missing_key),
            refusal: self.refusal.or(other.refusal),
            refused_body: self.refused_body.or(other.refused_body),
        }
    }

    /// Returns the pepper that is set, and if all subjects are hashed.
    pub(crate) fn subject_hash(&self) -> (Option<Pepper>, Option<bool>) {
        (self.pepper.clone(), self.hash_subjects)
    }

    /// Returns the options of a limiter with these clocks. Each option that is not set has its
    /// default.
    pub(crate) fn effective(self, clocks: WallClocks) -> EffectiveHttpOptions {
        let mut address = AddressOptions::new(
            &self.trusted_proxies.unwrap_or_default(),
            self.nat64_prefixes.unwrap_or_default(),
        );
        if address.trusts_widely() {
            tracing::warn!(
                "`trusted_proxies` contains a large part of all addresses, such as `0.0.0.0/0`: \
                 clients in it can choose the address by which they are counted. Name the networks \
                 of your own proxies"
            );
        }
        address.peer = self.peer;
        address.client_header = self.client_header.unwrap_or(address.client_header);
        address.ipv6_prefix = self.ipv6_prefix.unwrap_or(address.ipv6_prefix);
        EffectiveHttpOptions {
            address,
            headers: self.headers.unwrap_or_default(),
            legacy_reset: ResetTime { meaning: self.legacy_reset.unwrap_or_default(), clocks },
            on_missing_key: self.on_missing_key.unwrap_or_default(),
            refusal: self.refusal,
            refused_body: self.refused_body.unwrap_or_default(),
            mistakes: OnceEach::default(),
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
        self.trusted_proxies = Some(networks(proxies)?);
        Ok(self)
    }

    /// Sets the header in which trusted proxies name the client. It replaces an earlier
    /// [`client_header`](Self::client_header).
    #[must_use]
    pub fn forwarded_header(mut self, header: ForwardedHeader) -> Self {
        self.client_header = Some(header.into());
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
        let wrong = |kind: fn(String) -> _| HttpOptionsError(kind(shown(text).into_owned()));
        if text.eq_ignore_ascii_case("x-forwarded-for") || text.eq_ignore_ascii_case("forwarded") {
            return Err(wrong(HttpOptionsErrorKind::ListHeader));
        }
        let name = HeaderName::from_bytes(text.as_bytes());
        let name = name.map_err(|_| wrong(HttpOptionsErrorKind::Header))?;
        self.client_header = Some(ClientHeader::Single(name));
        Ok(self)
    }

    /// Calls `function` to find the address of the connection's other end. Set it if the server
    /// does not provide `ConnectInfo<SocketAddr>`: for Unix sockets, TLS acceptors, AWS Lambda, or
    /// a listener of your own. If `function` returns `None`, `ConnectInfo<SocketAddr>` is used, or with
    /// the feature `tonic` the address that tonic's server tells.
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
        self.peer = Some(Arc::new(function));
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
            Nat64Prefix::parse(text).ok_or_else(|| {
                HttpOptionsError(HttpOptionsErrorKind::Nat64(shown(text).into_owned()))
            })
        });
        self.nat64_prefixes = Some(prefixes.collect::<Result<_, _>>()?);
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
        self.ipv6_prefix = Some(bits);
        Ok(self)
    }

    /// Sets a secret key for the hashes of credentials (HMAC-SHA-256). Without it, whoever can read
    /// the store can find out if a credential that they know is in use, and the same one has the
    /// same hash in other services. All processes that share a store must have the same pepper.
    /// With another pepper, each subject begins with a new budget.
    ///
    /// # Errors
    ///
    /// If it is shorter than 16 bytes: take 32 random ones.
    pub fn pepper(mut self, pepper: impl AsRef<[u8]>) -> Result<Self, HttpOptionsError> {
        let wrong = |error| HttpOptionsError(HttpOptionsErrorKind::Pepper(error));
        self.pepper = Some(SubjectHash::keyed(pepper.as_ref()).map_err(wrong)?);
        Ok(self)
    }

    /// Hashes all subjects if `on` is `true`, and not only credentials: addresses, query and path
    /// parameters, what key functions return, and what is passed to [`Limiter::check`]. Neither the
    /// store nor logs, hooks, the dashboard and [`PerSubject`] see them in clear then. Set a
    /// [`pepper`](Self::pepper), too, because addresses are few enough to hash all of them. The
    /// default is `false`.
    ///
    /// [`Limiter::check`]: crate::Limiter::check
    /// [`PerSubject`]: crate::PerSubject
    #[must_use]
    pub fn hash_subjects(mut self, on: bool) -> Self {
        self.hash_subjects = Some(on);
        self
    }

    /// Sets the header fields with which responses describe limits to clients.
    #[must_use]
    pub fn headers(mut self, style: HeaderStyle) -> Self {
        self.headers = Some(style);
        self
    }

    /// Sets the meaning of `X-RateLimit-Reset`.
    #[must_use]
    pub fn legacy_reset(mut self, reset: LegacyReset) -> Self {
        self.legacy_reset = Some(reset);
        self
    }

    /// Sets the handling of requests that lack the key of their limit.
    #[must_use]
    pub fn on_missing_key(mut self, mode: OnMissingKey) -> Self {
        self.on_missing_key = Some(mode);
        self
    }

    /// Responds to refusals with the result of `function`. `Retry-After` and `Cache-Control` are
    /// added if the result lacks them; a `Retry-After` of the function's own stays as it is. The header
    /// fields that describe the limit (see [`headers`](Self::headers)) are always added. Requests of
    /// gRPC need another result: see [`Refusal::grpc_status`](crate::http::Refusal::grpc_status).
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
        self.refused_body = Some(RefusedBody { max_bytes, max_time });
        self
    }
}

/// Formats the options that are set as `Some`.
impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("trusted_proxies", &self.trusted_proxies)
            .field("nat64_prefixes", &self.nat64_prefixes)
            .field("peer", &self.peer.is_some())
            .field("client_header", &self.client_header)
            .field("ipv6_prefix", &self.ipv6_prefix)
            .field("pepper", &self.pepper.is_some())
            .field("hash_subjects", &self.hash_subjects)
            .field("headers", &self.headers)
            .field("legacy_reset", &self.legacy_reset)
            .field("on_missing_key", &self.on_missing_key)
            .field("refusal", &self.refusal.is_some())
            .field("refused_body", &self.refused_body)
            .finish()
    }
}

/// The error for an invalid value of an option.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct HttpOptionsError(HttpOptionsErrorKind);

impl fmt::Debug for HttpOptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

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
    #[error(transparent)]
    Pepper(PepperError),
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
        Network::parse(text).ok_or_else(|| {
            HttpOptionsError(HttpOptionsErrorKind::Network(shown(text).into_owned()))
        })
    };
    networks.into_iter().map(parse).collect()
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
