//! The keys that the library knows, in a form that a static can hold.

use std::fmt::Display;

use axum::extract::{FromRequestParts as _, RawPathParams};
use axum::http::header::COOKIE;
use axum::http::request::Parts;

use super::{Found, KeyError, address};
use crate::http::HttpOptions;
use crate::subject::Subject;

/// A key, or a part of one.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// The client's address.
    Ip,
    /// Everybody's together.
    Global,
    /// The value of this request header.
    Header(&'static str),
    /// The value of this cookie.
    Cookie(&'static str),
    /// The part of the path that the route calls by this name.
    PathParam(&'static str),
    /// The first value of this name in the query string.
    Query(&'static str),
    /// What the request itself does not say: an extension, or a user's function.
    Function(fn(&Parts) -> Found<'_>),
}

impl Part {
    /// Finds the subject, except where it takes waiting: see [`path_param`].
    pub(super) fn seek<'a>(&self, parts: &'a Parts, options: &HttpOptions) -> Found<'a> {
        Found::Now(match *self {
            Self::Ip => address::subject(parts, options).ok_or(KeyError::NoConnectInfo),
            Self::Global => Ok(Subject::everybody()),
            Self::Header(name) => match parts.headers.get(name) {
                Some(value) if !value.is_empty() => Ok(Subject::secret(value.as_bytes())),
                _ => Err(KeyError::NoHeader(name)),
            },
            Self::Cookie(name) => match cookie(parts, name) {
                Some(value) if !value.is_empty() => Ok(Subject::secret(value)),
                _ => Err(KeyError::NoCookie(name)),
            },
            Self::Query(name) => {
                let query = parts.uri.query().unwrap_or_default();
                let mut pairs = form_urlencoded::parse(query.as_bytes());
                let pair = pairs.find(|(key, _)| key == name);
                pair.map(|(_, value)| Subject::of(&[&value])).ok_or(KeyError::NoQuery(name))
            }
            Self::PathParam(name) => Err(KeyError::NoPathParam(name)),
            Self::Function(function) => return function(parts),
        })
    }
}

/// The subject that a part of the path is.
pub(super) async fn path_param(name: &'static str, parts: &mut Parts) -> Result<Subject, KeyError> {
    let missing = KeyError::NoPathParam(name);
    let params = RawPathParams::from_request_parts(parts, &()).await;
    let params = params.map_err(|_| missing)?;
    let mut params = params.iter();
    let param = params.find(|(key, _)| *key == name);
    param.map(|(_, value)| Subject::of(&[&value])).ok_or(missing)
}

/// The subject that an extension of the request is.
pub fn extension<T: Display + Send + Sync + 'static>(parts: &Parts) -> Found<'_> {
    let missing = || KeyError::NoExtension(std::any::type_name::<T>());
    let extension = parts.extensions.get::<T>();
    Found::Now(extension.map(|value| Subject::of(&[value])).ok_or_else(missing))
}

/// The value of the first cookie of this name (RFC 6265 §5.4: `a=1; b=2`, in any number of
/// lines).
fn cookie<'a>(parts: &'a Parts, name: &str) -> Option<&'a [u8]> {
    let lines = parts.headers.get_all(COOKIE).into_iter();
    let mut cookies = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    cookies.find_map(|cookie| {
        let value = cookie.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value))
    })
}
