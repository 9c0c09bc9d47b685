//! The built-in keys, as values that a static can contain.

use std::borrow::Cow;
use std::fmt::Display;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts as _, RawPathParams};
use axum::http::request::Parts;

use super::error::KeyError;
use super::extractor::Resolved;
use super::options::KeyOptions;
use super::{address, request_values};
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
    pub(super) fn resolve<'a>(&self, parts: &'a Parts, options: KeyOptions<'_>) -> Resolved<'a> {
        let secret = |value: Option<Cow<'_, [u8]>>, missing: KeyError| {
            let value = value.filter(|value| !value.is_empty());
            value.map(|value| options.hash.secret(&value)).ok_or(missing)
        };
        Resolved::Now(match *self {
            Self::Ip => address::subject(parts, options.address).ok_or(KeyError::NoConnectInfo),
            Self::Global => Ok(Subject::everybody()),
            Self::Header(name) => request_values::header(parts, name)
                .and_then(|value| secret(value, KeyError::NoHeader(name))),
            Self::Cookie(name) => request_values::cookie(parts, name)
                .and_then(|value| secret(value, KeyError::NoCookie(name))),
            Self::Query(name) => request_values::query(parts, name).and_then(|value| {
                value.map(|value| Subject::sent(&value)).ok_or(KeyError::NoQuery(name))
            }),
            Self::PathParam(name) => Err(KeyError::NoPathParam(name)),
            Self::Function(function) => return function(parts),
        })
    }
}

/// Returns the subject made from the path parameter `name`.
pub(super) async fn path_param(name: &'static str, parts: &mut Parts) -> Result<Subject, KeyError> {
    let params = match RawPathParams::from_request_parts(parts, &()).await {
        Ok(params) => params,
        // The client's path cannot be decoded. The other rejection is that there is no route.
        Err(RawPathParamsRejection::InvalidUtf8InPathParam(_)) => {
            return Err(KeyError::UnreadablePath(name));
        }
        Err(_) => return Err(KeyError::NoPathParam(name)),
    };
    let mut params = params.iter();
    let param = params.find(|(key, _)| *key == name);
    param.map(|(_, value)| Subject::sent(value)).ok_or(KeyError::NoPathParam(name))
}

/// Returns the subject made from the request extension of type `T`.
pub fn extension<T: Display + Send + Sync + 'static>(parts: &Parts) -> Resolved<'_> {
    let missing = || KeyError::NoExtension(std::any::type_name::<T>());
    let extension = parts.extensions.get::<T>();
    Resolved::Now(extension.map(|value| Subject::of(value)).ok_or_else(missing))
}
