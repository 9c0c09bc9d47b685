//! The built-in keys, as values that a static can contain.

use std::fmt::Display;

use axum::extract::{FromRequestParts as _, RawPathParams};
use axum::http::header::COOKIE;
use axum::http::request::Parts;

use super::address;
use super::error::KeyError;
use super::extractor::Resolved;
use super::options::AddressOptions;
use crate::subject::Subject;

/// A built-in key, or one element of a tuple of keys.
#[derive(Clone, Copy, Debug)]
pub enum KeyPart {
    /// The client's address.
    Ip,
    /// The same subject for all requests.
    Global,
    /// The value of this request header.
    Header(&'static str),
    /// The value of this cookie.
    Cookie(&'static str),
    /// The path parameter of this name.
    PathParam(&'static str),
    /// The first query parameter of this name.
    Query(&'static str),
    /// A function of the request: it returns the value of an extension, or is a function of the
    /// user.
    Function(fn(&Parts) -> Resolved<'_>),
}

impl KeyPart {
    /// Resolves the subject. For a path parameter, call [`path_param`] instead, because that is
    /// async.
    pub(super) fn resolve<'a>(&self, parts: &'a Parts, options: &AddressOptions) -> Resolved<'a> {
        Resolved::Now(match *self {
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

/// Returns the subject made from the path parameter `name`.
pub(super) async fn path_param(name: &'static str, parts: &mut Parts) -> Result<Subject, KeyError> {
    let missing = KeyError::NoPathParam(name);
    let params = RawPathParams::from_request_parts(parts, &()).await;
    let params = params.map_err(|_| missing)?;
    let mut params = params.iter();
    let param = params.find(|(key, _)| *key == name);
    param.map(|(_, value)| Subject::of(&[&value])).ok_or(missing)
}

/// Returns the subject made from the request extension of type `T`.
pub fn extension<T: Display + Send + Sync + 'static>(parts: &Parts) -> Resolved<'_> {
    let missing = || KeyError::NoExtension(std::any::type_name::<T>());
    let extension = parts.extensions.get::<T>();
    Resolved::Now(extension.map(|value| Subject::of(&[value])).ok_or_else(missing))
}

/// Returns the value of the first cookie of this name (RFC 6265 §5.4: `a=1; b=2`, in any number
/// of lines).
fn cookie<'a>(parts: &'a Parts, name: &str) -> Option<&'a [u8]> {
    let lines = parts.headers.get_all(COOKIE).into_iter();
    let mut cookies = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    cookies.find_map(|cookie| {
        let value = cookie.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value))
    })
}
