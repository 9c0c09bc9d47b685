//! Async functions that find the override of a subject, and what they are asked.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;

use super::Override;
use crate::Policy;

/// The head of a request; without the feature `axum` there are none.
#[cfg(feature = "axum")]
pub(crate) type RequestHead = axum::http::request::Parts;
#[cfg(not(feature = "axum"))]
pub(crate) type RequestHead = Infallible;

/// The cause for which an override could not be found.
type BoxError = Box<dyn Error + Send + Sync>;
/// The override of a subject, or `None` if the policy applies unchanged.
pub(crate) type FoundOverride = Result<Option<Override>, BoxError>;
pub(super) type AwaitedOverride<'a> = Pin<Box<dyn Future<Output = FoundOverride> + Send + 'a>>;

/// The question to a function of [`PerSubject::awaiting`](crate::PerSubject::awaiting): a subject, the
/// policy in effect, and the request, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct SubjectLookup<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) subject: &'a str,
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "without axum there are none"))]
    pub(crate) request: Option<&'a RequestHead>,
}

impl<'a> SubjectLookup<'a> {
    /// Returns the policy in effect, without an override of the subject.
    #[must_use]
    pub fn policy(&self) -> &'a Policy {
        self.policy
    }

    /// Returns the subject as it is counted: an address, the hash of a credential, or the result of a key
    /// function.
    #[must_use]
    pub fn subject(&self) -> &'a str {
        self.subject
    }

    /// Returns the request's head if a handler or a layer asks. Functions and
    /// [`Limiter::check`](crate::Limiter::check) have no request.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn request(&self) -> Option<&'a axum::http::request::Parts> {
        self.request
    }
}

/// An async function that finds the override of a subject. It takes a [`SubjectLookup`], and returns
/// `Option<Override>` or `Result<Option<Override>, E>`. No type but a function can implement this.
///
/// The lifetime is that of the question. A trait of one lifetime can name the future, which may borrow
/// from it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no async function that finds the override of a subject",
    label = "it takes a `SubjectLookup<'_>`, and returns `Option<Override>` or `Result<Option<Override>, E>`",
    note = "the future must be `Send`, and may borrow from the question, but not from the function"
)]
pub trait SubjectFunction<'a> {
    /// The result of the function.
    type Output;
    /// The future that the function returns.
    type Future: Future<Output = Self::Output> + Send + 'a;

    /// Calls the function.
    #[doc(hidden)]
    fn call(&self, lookup: SubjectLookup<'a>) -> Self::Future;
}

impl<'a, F, T> SubjectFunction<'a> for F
where
    F: Fn(SubjectLookup<'a>) -> T,
    T: Future + Send + 'a,
{
    type Output = T::Output;
    type Future = T;

    fn call(&self, lookup: SubjectLookup<'a>) -> T {
        self(lookup)
    }
}

/// A type that a [`SubjectFunction`] may return: `Option<Override>`, or a `Result` of one with any error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a function that finds the override of a subject returns",
    label = "it returns `Option<Override>` or `Result<Option<Override>, E>`",
    note = "`E` is an error, or text"
)]
pub trait SubjectAnswer {
    #[doc(hidden)]
    fn found(self) -> FoundOverride;
}

impl SubjectAnswer for Option<Override> {
    fn found(self) -> FoundOverride {
        Ok::<_, Infallible>(self).found()
    }
}

impl<E: Into<BoxError>> SubjectAnswer for Result<Option<Override>, E> {
    fn found(self) -> FoundOverride {
        self.map_err(Into::into)
    }
}

/// The error of a function that could not find the override of a subject.
#[derive(Debug, thiserror::Error)]
#[error("the override of the subject could not be found")]
pub(super) struct SubjectNotFound(#[source] pub(super) BoxError);

/// The failure of a function of the program that was to find a quota or an override. It is no failure of
/// the store, but the policy's `on_error` decides, too.
pub(crate) struct FailedLookup {
    /// The setting that names the function, for the log.
    pub(crate) setting: &'static str,
    pub(crate) error: BoxError,
}
