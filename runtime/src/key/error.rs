//! The error of a request that has no subject.

use std::fmt;

use crate::error::fmt_with_causes;

/// The reason why a request cannot be attributed to a subject.
#[derive(Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The server does not pass client addresses on to handlers.
    #[error(
        "the client's address is not known to the handler. Serve the router with \
         `into_make_service_with_connect_info::<SocketAddr>()`, or in tests add the layer \
         `MockConnectInfo(SocketAddr)`"
    )]
    NoConnectInfo,
    /// The client left out this header.
    #[error("the header `{0}` is required")]
    NoHeader(&'static str),
    /// The client left out this cookie.
    #[error("the cookie `{0}` is required")]
    NoCookie(&'static str),
    /// The client left out this query parameter.
    #[error("`{0}` is required in the query")]
    NoQuery(&'static str),
    /// The route has no path parameter of this name.
    #[error("the route has no path parameter `{0}`: name it in the route, as in `/{{{0}}}`")]
    NoPathParam(&'static str),
    /// No layer has inserted a request extension of this type.
    #[error("the request has no extension of type `{0}`: add the layer that puts it there")]
    NoExtension(&'static str),
    /// A key function or a [`KeyExtractor`](crate::KeyExtractor) returned no subject.
    #[error("it lacks what its limit counts by")]
    NoSubject,
}

impl fmt::Debug for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

impl KeyError {
    /// Returns `true` if the client left something out, and `false` if the server lacks the
    /// address, a path parameter or an extension.
    #[must_use]
    pub const fn is_clients(self) -> bool {
        match self {
            Self::NoHeader(_) | Self::NoCookie(_) | Self::NoQuery(_) | Self::NoSubject => true,
            Self::NoConnectInfo | Self::NoPathParam(_) | Self::NoExtension(_) => false,
        }
    }
}
