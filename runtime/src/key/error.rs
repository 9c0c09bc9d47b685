//! Why a request has no subject.

/// Why it cannot be told whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The server was not told to pass addresses on.
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
    /// The client left this out of the query.
    #[error("`{0}` is required in the query")]
    NoQuery(&'static str),
    /// The route does not name this part of the path.
    #[error("the route has no path parameter `{0}`: name it in the route, as in `/{{{0}}}`")]
    NoPathParam(&'static str),
    /// No layer has put an extension of this type there.
    #[error("the request has no extension of type `{0}`: add the layer that puts it there")]
    NoExtension(&'static str),
    /// A key function found nothing.
    #[error("it lacks what its limit counts by")]
    NoSubject,
}

impl KeyError {
    /// Whether it is the client who left something out, and not the server's own mistake.
    #[must_use]
    pub const fn is_clients(self) -> bool {
        match self {
            Self::NoHeader(_) | Self::NoCookie(_) | Self::NoQuery(_) | Self::NoSubject => true,
            Self::NoConnectInfo | Self::NoPathParam(_) | Self::NoExtension(_) => false,
        }
    }
}
