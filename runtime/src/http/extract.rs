//! The extractor of all arguments of an annotated handler.

use std::convert::Infallible;
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

/// All arguments of a handler, as a tuple: its limits are checked before anything is extracted, and
/// so before any body is read. What an extractor rejects is the handler's response, so it is
/// completed like one.
///
/// Only `ForHandler` depends on the handler; the rest is compiled once for each tuple of arguments.
pub struct Checked<A, T>(pub Admission, pub T, pub PhantomData<fn() -> A>);

/// Marks [`Checked`] as an extractor, and constrains axum's own marker for the tuple in it.
#[derive(Debug)]
pub struct Via<M>(PhantomData<fn() -> M>);

impl<A, T, M, S> FromRequest<S, Via<M>> for Checked<A, T>
where
    A: Annotated,
    T: FromRequest<S, M>,
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

/// Stands for an argument that [`Checked`], the last one, contains. Handlers keep their number of
/// arguments, because `#[debug_handler]` calls them with as many as it has seen.
#[derive(Clone, Copy, Debug)]
pub struct InLast;

impl<S: Sync> FromRequestParts<S> for InLast {
    type Rejection = Infallible;

    fn from_request_parts(
        _: &mut Parts,
        _: &S,
    ) -> impl Future<Output = Result<Self, Infallible>> + Send {
        std::future::ready(Ok(Self))
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
            Poll::Ready(Ok((admission, arguments))) => {
                Poll::Ready(Ok(Checked(admission, arguments, PhantomData)))
            }
            Poll::Ready(Err(rejection)) => Poll::Ready(Err(rejection)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Allows `#[tracing::instrument]`, which records arguments, below the attribute.
impl<A, T: fmt::Debug> fmt::Debug for Checked<A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Checked").field(&self.0).field(&self.1).finish()
    }
}

pin_project! {
    /// Checks the limits, then extracts the arguments. Written by hand, because the compiler would
    /// examine an async block anew for each handler.
    struct ExtractFuture<'s, S, F> {
        // Present while a check waits.
        pending: Option<PendingCheck>,
        refusal: Option<LimitRejection>,
        admission: Admission,
        // Present once the limits have admitted the request.
        #[pin]
        arguments: Option<F>,
        extract: fn(Request, &'s S) -> F,
        state: &'s S,
    }
}

impl<'s, S, F> ExtractFuture<'s, S, F> {
    fn new(progress: Progress, state: &'s S, extract: fn(Request, &'s S) -> F) -> Self {
        let admission = Admission::default();
        let mut this =
            Self { pending: None, refusal: None, admission, arguments: None, extract, state };
        match progress {
            Progress::Done(Ok(admission), request) => {
                this.admission = admission;
                this.arguments = Some(extract(request, state));
            }
            Progress::Done(Err(refusal), _) => this.refusal = Some(refusal),
            Progress::Pending(pending) => this.pending = Some(pending),
        }
        this
    }
}

impl<S, F, T, R> Future for ExtractFuture<'_, S, F>
where
    F: Future<Output = Result<T, R>>,
    R: IntoResponse,
{
    type Output = Result<(Admission, T), LimitRejection>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(pending) = this.pending {
            let (result, request) = ready!(pending.as_mut().poll(context));
            *this.pending = None;
            match result {
                Ok(admission) => {
                    *this.admission = admission;
                    this.arguments.set(Some((this.extract)(request, this.state)));
                }
                Err(refusal) => *this.refusal = Some(refusal),
            }
        }
        if let Some(refusal) = this.refusal.take() {
            return Poll::Ready(Err(refusal));
        }
        let rejected = if this.admission.is_refunding() {
            this.admission.poll_refund(context)
        } else {
            // `None` only if polled again after returning `Err`.
            let Some(arguments) = this.arguments.as_mut().as_pin_mut() else {
                return Poll::Pending;
            };
            match ready!(arguments.poll(context)) {
                Ok(arguments) => return Poll::Ready(Ok((this.admission.take(), arguments))),
                Err(rejection) => {
                    // Releases the request before a refund is awaited.
                    this.arguments.set(None);
                    this.admission.poll_complete(rejection.into_response(), context)
                }
            }
        };
        rejected.map(|response| Err(LimitRejection(Box::new(response))))
    }
}
