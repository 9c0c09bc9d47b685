//! The values of a request's headers, cookies and query, as the applications read them that act on
//! them. What an application reads as one value must be one value here, too: each other spelling of
//! the same login would otherwise have a budget of its own.

use std::borrow::Cow;

use axum::http::HeaderValue;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use percent_encoding::percent_decode;

use super::error::KeyError;

/// A value, without a copy where the request contains it as it is.
type Value<'a> = Cow<'a, [u8]>;

/// Returns the value of the header; `None` if there is none.
pub(super) fn header<'a>(
    parts: &'a Parts,
    name: &'static str,
) -> Result<Option<Value<'a>>, KeyError> {
    let values = header_lines(parts, name);
    if is_credentials(name) {
        return only(values.map(credentials), KeyError::RepeatedHeader(name));
    }
    only(values.map(Cow::Borrowed), KeyError::RepeatedHeader(name))
}

/// Returns a value of the header in the form in which it is counted.
pub(crate) fn canonical_header<'a>(name: &str, value: &'a [u8]) -> Value<'a> {
    if is_credentials(name) { credentials(value) } else { Cow::Borrowed(value) }
}

/// Returns a decoded value of a cookie in the form in which it is counted.
pub(crate) fn canonical_cookie(value: &str) -> Value<'_> {
    unquoted(Cow::Borrowed(value.as_bytes()))
}

/// Returns `true` if the header of this name contains credentials with a scheme.
fn is_credentials(name: &str) -> bool {
    let names = ["authorization", "proxy-authorization"];
    names.iter().any(|credentials| name.eq_ignore_ascii_case(credentials))
}

/// Returns the value of the cookie; `None` if there is none.
pub(super) fn cookie<'a>(
    parts: &'a Parts,
    name: &'static str,
) -> Result<Option<Value<'a>>, KeyError> {
    let value = only(cookies(parts, name), KeyError::RepeatedCookie(name))?.map(unquoted);
    // Cookie jars leave out what is not text, so the application does not see such a cookie.
    match value {
        Some(value) if std::str::from_utf8(&value).is_err() => {
            Err(KeyError::UnreadableCookie(name))
        }
        value => Ok(value),
    }
}

/// Returns the decoded value of the query parameter; `None` if there is none.
pub(super) fn query<'a>(
    parts: &'a Parts,
    name: &'static str,
) -> Result<Option<Cow<'a, str>>, KeyError> {
    let query = parts.uri.query().unwrap_or_default();
    let pairs = form_urlencoded::parse(query.as_bytes());
    let values = pairs.filter(|(key, _)| key == name).map(|(_, value)| value);
    only(values, KeyError::RepeatedQuery(name))
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

/// Returns the values of the header. The authority of the URI is another value of `Host` (RFC 9112
/// §3.2.2, RFC 9113 §8.3.1).
fn header_lines<'a>(parts: &'a Parts, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let is_host = name.eq_ignore_ascii_case("host");
    let authority = if is_host { parts.uri.authority() } else { None };
    let lines = parts.headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    lines.chain(authority.map(|authority| authority.as_str().as_bytes()))
}

/// Returns credentials in the form that all their spellings have in common. The case of a scheme
/// and the number of spaces after it mean nothing (RFC 9110 §11.4), and the padding of `Basic` is
/// optional for many readers.
fn credentials(value: &[u8]) -> Value<'_> {
    let value = value.trim_ascii();
    let Some(end) = value.iter().position(u8::is_ascii_whitespace) else {
        return Cow::Borrowed(value);
    };
    let (scheme, rest) = value.split_at(end);
    let (scheme, mut rest) = (scheme.to_ascii_lowercase(), rest.trim_ascii());
    while scheme == b"basic" && rest.ends_with(b"=") {
        rest = rest.get(..rest.len() - 1).unwrap_or_default();
    }
    Cow::Owned([&scheme, b" ".as_slice(), rest].concat())
}

/// Returns the values of the cookies of this name (RFC 6265 §5.4: `a=1; b=2`, in any number of
/// lines). Names and values are trimmed and percent-decoded, as cookie jars do.
fn cookies<'a>(parts: &'a Parts, name: &str) -> impl Iterator<Item = Value<'a>> {
    let lines = parts.headers.get_all(COOKIE).into_iter();
    let cookies = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    cookies.filter_map(move |cookie| {
        let at = cookie.iter().position(|byte| *byte == b'=')?;
        let (own_name, value) = (cookie.get(..at)?.trim_ascii(), cookie.get(at + 1..)?);
        let is_named = percent_decode(own_name).eq(name.bytes());
        is_named.then(|| percent_decode(value.trim_ascii()).into())
    })
}

/// Removes the quotes around a cookie's value, which some applications read as part of it.
fn unquoted(value: Value<'_>) -> Value<'_> {
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    match (quoted.map(<[u8]>::len), value) {
        (Some(len), Cow::Borrowed(value)) => Cow::Borrowed(value.get(1..=len).unwrap_or_default()),
        (Some(len), Cow::Owned(value)) => {
            Cow::Owned(value.get(1..=len).unwrap_or_default().to_vec())
        }
        (None, value) => value,
    }
}
