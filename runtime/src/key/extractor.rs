//! Keys defined by the user: functions, async functions, and types that are extractors.

use std::fmt;
use std::pin::Pin;

use axum::http::request::Parts;

use super::error::KeyError;
use crate::subject::{IntoSubject, Subject};

/// A key that is implemented by a type rather than by a function. It may be async.
///
/// The attribute accepts the path of a value of the type, as in `key = self::Tenant`. For a layer,
/// pass the value to [`Key::extractor`](crate::Key::extractor).
///
/// ```
/// use axum::http::request::Parts;
/// use tollgate::{IntoSubject, KeyExtractor, Subject, rate_limit};
///
/// /// The account that the login layer has found.
/// #[derive(Clone)]
/// struct Account(u64);
///
/// struct Tenant;
///
/// impl KeyExtractor for Tenant {
///     async fn subject(&self, parts: &Parts) -> Option<Subject> {
///         parts.extensions.get::<Account>().map(|account| account.0).into_subject()
///     }
/// }
///
/// #[rate_limit(100, per = 60, key = self::Tenant)]
/// async fn list_orders() {}
/// # fn main() {}
/// ```
pub trait KeyExtractor: Send + Sync + 'static {
    /// Returns the subject under which the request is counted, or `None` if the request lacks the
    /// key.
    fn subject(&self, parts: &Parts) -> impl Future<Output = Option<Subject>> + Send;
}

/// The result of resolving a key.
pub enum Resolved<'a> {
    /// The subject, available without waiting.
    Now(Result<Subject, KeyError>),
    /// A future that returns the subject.
    Later(Pin<Box<dyn Future<Output = Result<Subject, KeyError>> + Send + 'a>>),
}

impl<'a> Resolved<'a> {
    pub(super) fn now(self) -> Option<Result<Subject, KeyError>> {
        match self {
            Self::Now(subject) => Some(subject),
            Self::Later(_) => None,
        }
    }

    fn from_value(value: impl IntoSubject) -> Self {
        Self::Now(value.into_subject().ok_or(KeyError::NoSubject))
    }

    fn from_future(future: impl Future<Output: IntoSubject> + Send + 'a) -> Self {
        Self::Later(Box::pin(async move { future.await.into_subject().ok_or(KeyError::NoSubject) }))
    }
}

impl fmt::Debug for Resolved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(subject) => subject.fmt(f),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// A value that the attribute accepts as `key = path`.
///
/// `Kind` is one of `SyncFunction`, `AsyncFunction` and `Extractor`. With this parameter, the three
/// blanket implementations do not overlap.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no key",
    label = "it does not say whose requests are counted",
    note = "a key function takes `&Parts` and returns text, a number, an address, a `Subject`, or \
            an `Option` of one of these; it may be async, if its future is `Send`",
    note = "else name a value whose type implements `KeyExtractor`"
)]
pub trait KeySource<'a, Kind> {
    /// Resolves the key of a request.
    fn resolve(&'a self, parts: &'a Parts) -> Resolved<'a>;
}

/// Marks the implementation for functions.
#[derive(Debug)]
pub struct SyncFunction<R>(R);

/// Marks the implementation for async functions.
#[derive(Debug)]
pub struct AsyncFunction<R>(R);

/// Marks the implementation for types that implement [`KeyExtractor`].
#[derive(Debug)]
pub struct Extractor;

#[diagnostic::do_not_recommend]
impl<'a, F, R> KeySource<'a, SyncFunction<R>> for F
where
    F: Fn(&'a Parts) -> R,
    R: IntoSubject,
{
    fn resolve(&'a self, parts: &'a Parts) -> Resolved<'a> {
        Resolved::from_value(self(parts))
    }
}

#[diagnostic::do_not_recommend]
impl<'a, F, R> KeySource<'a, AsyncFunction<R>> for F
where
    F: Fn(&'a Parts) -> R,
    R: Future<Output: IntoSubject> + Send + 'a,
{
    fn resolve(&'a self, parts: &'a Parts) -> Resolved<'a> {
        Resolved::from_future(self(parts))
    }
}

#[diagnostic::do_not_recommend]
impl<'a, E: KeyExtractor> KeySource<'a, Extractor> for E {
    fn resolve(&'a self, parts: &'a Parts) -> Resolved<'a> {
        Resolved::from_future(self.subject(parts))
    }
}

/// Resolves the key that the attribute names by path.
pub fn resolve<'a, Kind, K: KeySource<'a, Kind>>(key: &'a K, parts: &'a Parts) -> Resolved<'a> {
    key.resolve(parts)
}

/// A user-defined key of a layer, with its type erased.
pub(super) trait AnyExtractor: Send + Sync + 'static {
    fn is_async(&self) -> bool;
    fn resolve<'a>(&'a self, parts: &'a Parts) -> Resolved<'a>;
}

/// A key function whose result is already converted into a subject.
pub(super) struct KeyFunction<F>(pub(super) F);

impl<F: Fn(&Parts) -> Option<Subject> + Send + Sync + 'static> AnyExtractor for KeyFunction<F> {
    fn is_async(&self) -> bool {
        false
    }

    fn resolve<'a>(&'a self, parts: &'a Parts) -> Resolved<'a> {
        Resolved::from_value((self.0)(parts))
    }
}

/// A [`KeyExtractor`], whose result has to be awaited.
pub(super) struct AsyncExtractor<E>(pub(super) E);

impl<E: KeyExtractor> AnyExtractor for AsyncExtractor<E> {
    fn is_async(&self) -> bool {
        true
    }

    fn resolve<'a>(&'a self, parts: &'a Parts) -> Resolved<'a> {
        Resolved::from_future(self.0.subject(parts))
    }
}
