//! The error of a request that has no subject.

use std::fmt;

use crate::error::fmt_with_causes;

/// The reason why a request cannot be attributed to a subject.
///
/// The text of a mistake in the server says nothing of the server's code, because it is part of the
/// response. The log says what to add.
#[derive(Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The server does not pass client addresses on to handlers.
    #[error("the server does not know the client's address")]
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
    /// The client sent this header more than once, with different values.
    #[error("the header `{0}` has several values")]
    RepeatedHeader(&'static str),
    /// The client sent this cookie more than once, with different values.
    #[error("the cookie `{0}` has several values")]
    RepeatedCookie(&'static str),
    /// The client sent this query parameter more than once, with different values.
    #[error("`{0}` has several values in the query")]
    RepeatedQuery(&'static str),
    /// The client percent-encoded something in this cookie that is not text.
    #[error("the cookie `{0}` is not percent-encoded UTF-8")]
    UnreadableCookie(&'static str),
    /// The client percent-encoded something in the path that is not text, so that the path has no
    /// parameter of this name.
    #[error("the path is not percent-encoded UTF-8, so `{0}` is not found in it")]
    UnreadablePath(&'static str),
    /// The route has no path parameter of this name.
    #[error("the server does not provide what its limit counts by")]
    NoPathParam(&'static str),
    /// No layer has inserted a request extension of this type.
    #[error("the server does not provide what its limit counts by")]
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
    /// Returns `true` if the client left something out, sent several values or sent what cannot be
    /// decoded, and `false` if the server lacks the address, a path parameter or an extension.
    #[must_use]
    pub const fn is_clients(self) -> bool {
        match self {
            Self::NoHeader(_) | Self::NoCookie(_) | Self::NoQuery(_) | Self::NoSubject => true,
            Self::RepeatedHeader(_) | Self::RepeatedCookie(_) | Self::RepeatedQuery(_) => true,
            Self::UnreadableCookie(_) | Self::UnreadablePath(_) => true,
            Self::NoConnectInfo | Self::NoPathParam(_) | Self::NoExtension(_) => false,
        }
    }

    /// Returns `true` if [`OnMissingKey`](crate::http::OnMissingKey) applies to the error: the
    /// request lacks the key. What is there and cannot be used is no excuse.
    pub(super) const fn can_be_excused(self) -> bool {
        match self {
            Self::NoHeader(_) | Self::NoCookie(_) | Self::NoQuery(_) | Self::NoSubject => true,
            Self::NoPathParam(_) | Self::NoExtension(_) => true,
            Self::NoConnectInfo => false,
            Self::RepeatedHeader(_) | Self::RepeatedCookie(_) | Self::RepeatedQuery(_) => false,
            Self::UnreadableCookie(_) | Self::UnreadablePath(_) => false,
        }
    }

    /// Returns the text for the log about a mistake in the server: the thing that is missing, and
    /// the code that provides it. `None` if the mistake is the client's.
    pub(crate) fn advice(self) -> Option<String> {
        match self {
            Self::NoConnectInfo => Some(
                "the client's address is not known: the request has no extension of type \
                 `axum::extract::ConnectInfo<std::net::SocketAddr>`. Serve the router with \
                 `into_make_service_with_connect_info::<SocketAddr>()`. For a Unix socket or a \
                 listener of your own, which axum cannot serve like that, add the outermost layer \
                 `Extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 0))))`, or name the \
                 peer by `HttpOptions::peer`. For tonic's server switch on the feature `tonic`. In \
                 tests use `tollgate::testing::Client`, or add \
                 the layer `MockConnectInfo(SocketAddr)`"
                    .to_owned(),
            ),
            Self::NoPathParam(name) => Some(format!(
                "the route has no path parameter `{name}`: name it in the route, as in \
                 `/{{{name}}}`"
            )),
            Self::NoExtension(ty) => Some(format!(
                "the request has no extension of type `{ty}`: add the layer that puts it there, \
                 outside of the limit"
            )),
            _ => None,
        }
    }
}
