//! Keys of the user's own: functions, async functions, and types that are extractors.

use std::fmt;
use std::pin::Pin;

use axum::http::request::Parts;

use super::KeyError;
use crate::subject::{IntoSubject, Subject};

/// A key that is more than a function: a type that says whose request it is, and may wait to
/// find out.
///
/// The attribute takes the path of a value of it, `key = self::Tenant`; a layer takes it as
/// [`Key::extractor`](crate::Key::extractor).
///
/// ```
/// use axum::http::request::Parts;
/// use tollgate::{IntoSubject, KeyExtractor, Subject, rate_limit};
///
/// struct Tenant;
///
/// impl KeyExtractor for Tenant {
///     async fn subject(&self, parts: &Parts) -> Option<Subject> {
///         parts.headers.get("host")?.to_str().ok().into_subject()
///     }
/// }
///
/// #[rate_limit(100, per = 60, key = self::Tenant)]
/// async fn list_orders() {}
/// # fn main() {}
/// ```
pub trait KeyExtractor: Send + Sync + 'static {
    /// Whose request it is. `None` if the request lacks what that is told by.
    fn subject(&self, parts: &Parts) -> impl Future<Output = Option<Subject>> + Send;
}

/// What came of asking whose request it is.
pub enum Found<'a> {
    /// An answer.
    Now(Result<Subject, KeyError>),
    /// It takes waiting.
    Later(Pin<Box<dyn Future<Output = Result<Subject, KeyError>> + Send + 'a>>),
}

impl<'a> Found<'a> {
    pub(super) fn now(self) -> Option<Result<Subject, KeyError>> {
        match self {
            Self::Now(found) => Some(found),
            Self::Later(_) => None,
        }
    }

    fn from_answer(answer: impl IntoSubject) -> Self {
        Self::Now(answer.into_subject().ok_or(KeyError::NoSubject))
    }

    fn from_future(future: impl Future<Output: IntoSubject> + Send + 'a) -> Self {
        Self::Later(Box::pin(async move { future.await.into_subject().ok_or(KeyError::NoSubject) }))
    }
}

impl fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(found) => found.fmt(f),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// What the attribute takes as `key = path`. `How` tells its three kinds apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no key",
    label = "it does not say whose requests are counted",
    note = "a key function takes `&Parts` and returns text, a number, an address, a `Subject`, or \
            an `Option` of one of these; it may be async, if its future is `Send`",
    note = "else name a value whose type implements `KeyExtractor`"
)]
pub trait KeySource<'a, How> {
    /// Asks it.
    fn seek(&'a self, parts: &'a Parts) -> Found<'a>;
}

/// A function.
#[derive(Debug)]
pub struct Plain<R>(R);

/// An async function.
#[derive(Debug)]
pub struct Async<R>(R);

/// An extractor.
#[derive(Debug)]
pub struct Extractor;

#[diagnostic::do_not_recommend]
impl<'a, F, R> KeySource<'a, Plain<R>> for F
where
    F: Fn(&'a Parts) -> R,
    R: IntoSubject,
{
    fn seek(&'a self, parts: &'a Parts) -> Found<'a> {
        Found::from_answer(self(parts))
    }
}

#[diagnostic::do_not_recommend]
impl<'a, F, R> KeySource<'a, Async<R>> for F
where
    F: Fn(&'a Parts) -> R,
    R: Future<Output: IntoSubject> + Send + 'a,
{
    fn seek(&'a self, parts: &'a Parts) -> Found<'a> {
        Found::from_future(self(parts))
    }
}

#[diagnostic::do_not_recommend]
impl<'a, E: KeyExtractor> KeySource<'a, Extractor> for E {
    fn seek(&'a self, parts: &'a Parts) -> Found<'a> {
        Found::from_future(self.subject(parts))
    }
}

/// Asks what the attribute was given as a key.
pub fn seek<'a, How, K: KeySource<'a, How>>(key: &'a K, parts: &'a Parts) -> Found<'a> {
    key.seek(parts)
}

/// A key of the user's own, without its type.
pub(super) trait AnyExtractor: Send + Sync + 'static {
    fn waits(&self) -> bool;
    fn seek<'a>(&'a self, parts: &'a Parts) -> Found<'a>;
}

/// A function that has turned its answer into a subject.
pub(super) struct Function<F>(pub(super) F);

impl<F: Fn(&Parts) -> Option<Subject> + Send + Sync + 'static> AnyExtractor for Function<F> {
    fn waits(&self) -> bool {
        false
    }

    fn seek<'a>(&'a self, parts: &'a Parts) -> Found<'a> {
        Found::from_answer((self.0)(parts))
    }
}

pub(super) struct Waiting<E>(pub(super) E);

impl<E: KeyExtractor> AnyExtractor for Waiting<E> {
    fn waits(&self) -> bool {
        true
    }

    fn seek<'a>(&'a self, parts: &'a Parts) -> Found<'a> {
        Found::from_future(self.0.subject(parts))
    }
}
