//! The built-in keys, as values that a static can contain.

use std::fmt::Display;

use axum::extract::{FromRequestParts as _, RawPathParams};
use axum::http::HeaderValue;
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
    /// The query parameter of this name.
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
            Self::Header(name) => {
                let value = only(headers(parts, name), KeyError::RepeatedHeader(name));
                value.and_then(|value| secret(value, KeyError::NoHeader(name)))
            }
            Self::Cookie(name) => {
                let value = only(cookies(parts, name), KeyError::RepeatedCookie(name));
                let value = value.map(|value| value.map(unquoted));
                value.and_then(|value| secret(value, KeyError::NoCookie(name)))
            }
            Self::Query(name) => {
                let query = parts.uri.query().unwrap_or_default();
                let pairs = form_urlencoded::parse(query.as_bytes());
                let values = pairs.filter(|(key, _)| key == name).map(|(_, value)| value);
                only(values, KeyError::RepeatedQuery(name)).and_then(|value| {
                    value.map(|value| Subject::of(&[&value])).ok_or(KeyError::NoQuery(name))
                })
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

/// Returns the value of a name that may be repeated; `Ok(None)` if there is none. Different values
/// are the error `repeated`. Nothing says which of them the application reads, and if it read
/// another than the key, clients could choose their subject freely.
fn only<T: PartialEq>(
    mut values: impl Iterator<Item = T>,
    repeated: KeyError,
) -> Result<Option<T>, KeyError> {
    let first = values.next();
    if values.all(|value| first.as_ref() == Some(&value)) { Ok(first) } else { Err(repeated) }
}

/// Returns the subject made from a credential, or the error `missing` if there is none or it is
/// empty.
fn secret(value: Option<&[u8]>, missing: KeyError) -> Result<Subject, KeyError> {
    value.filter(|value| !value.is_empty()).map(Subject::secret).ok_or(missing)
}

/// Returns the values of the header. The authority of the URI is another value of `Host` (RFC 9112
/// §3.2.2, RFC 9113 §8.3.1).
fn headers<'a>(parts: &'a Parts, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let is_host = name.eq_ignore_ascii_case("host");
    let authority = if is_host { parts.uri.authority() } else { None };
    let lines = parts.headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    lines.chain(authority.map(|authority| authority.as_str().as_bytes()))
}

/// Returns the values of the cookies of this name (RFC 6265 §5.4: `a=1; b=2`, in any number of
/// lines). Spaces are removed from both sides of the equals sign, as applications do.
fn cookies<'a>(parts: &'a Parts, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let lines = parts.headers.get_all(COOKIE).into_iter();
    let cookies = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    cookies.filter_map(move |cookie| {
        let at = cookie.iter().position(|byte| *byte == b'=')?;
        let (own_name, value) = (cookie.get(..at)?, cookie.get(at + 1..)?);
        (own_name.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
    })
}

/// Removes the quotes around a cookie's value.
fn unquoted(value: &[u8]) -> &[u8] {
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    quoted.unwrap_or(value)
}
