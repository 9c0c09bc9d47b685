//! The client's address, for handlers and for functions of the user.

use std::fmt;
use std::net::IpAddr;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::check::with_limiter;
use crate::Limiter;
use crate::error::fmt_with_causes;
use crate::key::{KeyError, client_address, subject_of};
use crate::response::respond_without_address;
use crate::subject::{IntoSubject, Subject};

/// The client's address, as the key `ip` finds it: the peer's address, or the one that
/// [trusted proxies](crate::HttpOptions::trusted_proxies) name. IPv4 addresses that are written as
/// IPv6 addresses are IPv4 (see [`HttpOptions::nat64_prefixes`](crate::HttpOptions::nat64_prefixes)).
///
/// It is an extractor for handlers. [`of`](Self::of) returns it to functions that are called with
/// the request: key functions, `exempt`, `cost`, `on_blocked` and refusals.
///
/// The options are those of the request's limiter ([`Limiter::layer`]), or else of the scoped or
/// the global one. They are not those of a layer's own limiter
/// ([`RateLimitLayer::limiter`](crate::RateLimitLayer::limiter)).
///
/// As the result of a key function it is the same subject as the key `ip`: an IPv6 client counts by
/// its prefix ([`HttpOptions::ipv6_prefix`](crate::HttpOptions::ipv6_prefix)).
///
/// ```
/// use axum::http::request::Parts;
/// use tollgate::{ClientAddr, rate_limit};
///
/// fn is_internal(parts: &Parts) -> bool {
///     ClientAddr::of(parts).is_some_and(|client| client.ip().is_loopback())
/// }
///
/// #[rate_limit(100, per = 60, exempt = self::is_internal)]
/// async fn who_am_i(client: ClientAddr) -> String {
///     format!("You come from {client}.")
/// }
/// # fn main() {}
/// ```
///
/// As an extractor it rejects with 500 if the server does not provide the peer's address, and logs
/// what to add. `Option<ClientAddr>` is `None` then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddr {
    address: IpAddr,
    ipv6_prefix: u8,
}

impl ClientAddr {
    /// Returns the address of the client that has sent this request; `None` if the server does not
    /// provide the peer's address.
    #[must_use]
    pub fn of(parts: &Parts) -> Option<Self> {
        with_limiter(parts, |limiter| Self::by(limiter, parts))
    }

    /// Returns the address by the options of this limiter.
    fn by(limiter: &Limiter, parts: &Parts) -> Option<Self> {
        let options = &limiter.http().address;
        let address = client_address(parts, options)?;
        Some(Self { address, ipv6_prefix: options.ipv6_prefix })
    }

    /// Returns the whole address.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.address
    }

    /// Returns the subject by which the key `ip` counts: the text of an IPv4 address, or the prefix
    /// of an IPv6 address.
    #[must_use]
    pub fn subject(self) -> Subject {
        subject_of(self.address, self.ipv6_prefix)
    }
}

/// Writes the whole address.
impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl From<ClientAddr> for IpAddr {
    fn from(client: ClientAddr) -> Self {
        client.address
    }
}

impl IntoSubject for ClientAddr {
    fn into_subject(self) -> Option<Subject> {
        Some(self.subject())
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddr {
    type Rejection = NoClientAddr;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoClientAddr> {
        with_limiter(parts, |limiter| {
            Self::by(limiter, parts).ok_or_else(|| {
                limiter.http().log_mistake("", KeyError::NoConnectInfo);
                NoClientAddr(())
            })
        })
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for ClientAddr {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &S,
    ) -> Result<Option<Self>, std::convert::Infallible> {
        Ok(Self::of(parts))
    }
}

/// The rejection of [`ClientAddr`](crate::ClientAddr): the server does not provide the peer's
/// address. As a response it is 500 with the problem details that the key `ip` gives.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", KeyError::NoConnectInfo)]
pub struct NoClientAddr(());

impl fmt::Debug for NoClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

impl IntoResponse for NoClientAddr {
    fn into_response(self) -> Response {
        respond_without_address()
    }
}
