//! The extractor in front of an annotated handler.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::IntoResponse;
use pin_project_lite::pin_project;

use super::admission::{self, Admission, PendingCheck, Progress};
use super::limit::Annotated;
use super::rejection::LimitRejection;

/// An argument of a handler, preceded by the check of the handler's limits: they are checked
/// before the argument is extracted, and so before any body is read. Like a tuple of two
/// extractors, it is an extractor itself.
///
/// Only `ForHandler` depends on the handler; the rest is compiled once for each type of
/// argument.
pub struct Checked<A, T>(pub (Admission, T), pub PhantomData<fn() -> A>);

impl<A, T, S> FromRequestParts<S> for Checked<A, T>
where
    A: Annotated,
    T: FromRequestParts<S>,
    S: Send + Sync,
{
    type Rejection = LimitRejection;

    fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> impl Future<Output = Result<Self, LimitRejection>> + Send {
        let progress = admission::check_parts(A::limits(), parts);
        let future = ExtractFuture::new(progress, state, T::from_request_parts);
        ForHandler { future, handler: PhantomData }
    }
}

impl<A, T, S> FromRequest<S> for Checked<A, T>
where
    A: Annotated,
    T: FromRequest<S>,
    S: Send + Sync,
{
    type Rejection = LimitRejection;

    fn from_request(
        request: Request,
        state: &S,
    ) -> impl Future<Output = Result<Self, LimitRejection>> + Send {
        let progress = admission::check_request(A::limits(), request);
        let future = ExtractFuture::new(progress, state, T::from_request);
        ForHandler { future, handler: PhantomData }
    }
}

pin_project! {
    /// Adds the handler's type to the output of a future that does not know the handler. This is
    /// the only part of the extractor that is compiled for each handler.
    struct ForHandler<F, A> {
        #[pin]
        future: F,
        handler: PhantomData<fn() -> A>,
    }
}

impl<F, A, T> Future for ForHandler<F, A>
where
    F: Future<Output = Result<(Admission, T), LimitRejection>>,
{
    type Output = Result<Checked<A, T>, LimitRejection>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().future.poll(context) {
            Poll::Ready(Ok(extracted)) => Poll::Ready(Ok(Checked(extracted, PhantomData))),
            Poll::Ready(Err(rejection)) => Poll::Ready(Err(rejection)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Allows `#[tracing::instrument]`, which records arguments, below the attribute.
impl<A, T: fmt::Debug> fmt::Debug for Checked<A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Checked").field(&self.0).finish()
    }
}

pin_project! {
    /// Checks the limits, then extracts an argument from `I`. Written by hand, because the
    /// compiler would examine an async block anew for each handler.
    struct ExtractFuture<'a, 's, I, S, F> {
        // Present while a check waits.
        pending: Option<PendingCheck<'a, I>>,
        rejection: Option<LimitRejection>,
        admission: Admission,
        // Present once the limits have admitted the request.
        #[pin]
        argument: Option<F>,
        extract: fn(I, &'s S) -> F,
        state: &'s S,
    }
}

impl<'a, 's, I, S, F> ExtractFuture<'a, 's, I, S, F> {
    fn new(progress: Progress<'a, I>, state: &'s S, extract: fn(I, &'s S) -> F) -> Self {
        let admission = Admission::default();
        let mut this =
            Self { pending: None, rejection: None, admission, argument: None, extract, state };
        match progress {
            Progress::Done(Ok(admission), input) => {
                this.admission = admission;
                this.argument = Some(extract(input, state));
            }
            Progress::Done(Err(rejection), _) => this.rejection = Some(rejection),
            Progress::Pending(pending) => this.pending = Some(pending),
        }
        this
    }
}

impl<I, S, F, T, R> Future for ExtractFuture<'_, '_, I, S, F>
where
    F: Future<Output = Result<T, R>>,
    R: IntoResponse,
{
    type Output = Result<(Admission, T), LimitRejection>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(pending) = this.pending {
            let (result, input) = ready!(pending.as_mut().poll(context));
            *this.pending = None;
            match result {
                Ok(admission) => {
                    *this.admission = admission;
                    this.argument.set(Some((this.extract)(input, this.state)));
                }
                Err(rejection) => *this.rejection = Some(rejection),
            }
        }
        if let Some(rejection) = this.rejection.take() {
            return Poll::Ready(Err(rejection));
        }
        // `None` only if polled again after returning `Err`.
        let Some(argument) = this.argument.as_pin_mut() else { return Poll::Pending };
        Poll::Ready(match ready!(argument.poll(context)) {
            Ok(argument) => Ok((this.admission.take(), argument)),
            Err(rejection) => Err(LimitRejection::new(rejection)),
        })
    }
}
