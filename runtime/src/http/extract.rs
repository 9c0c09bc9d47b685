//! The extractor of all arguments of an annotated handler.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::IntoResponse;
use pin_project_lite::pin_project;

use super::admission::{Admission, HandlerLimits, check, check_later};
use super::check::CheckNow;
use super::limit::Annotated;
use super::rejection::LimitRejection;

/// The extractor of all arguments of a handler, as a tuple. It checks the handler's limits before
/// it extracts anything, and so before the body is read. If an argument's extractor rejects the
/// request, its response is completed like a response of the handler.
///
/// Only `ForHandler` depends on the handler; the rest is compiled once for each tuple of arguments.
pub struct ArgumentsGivenByRouter<A, T>(pub Admission, pub T, pub PhantomData<fn() -> A>);

/// Marks the implementation for arguments that are all extracted from the request's parts. It takes
/// the place of axum's own marker.
#[derive(Clone, Copy, Debug)]
pub struct ViaParts;

/// Marks the implementation for arguments whose last one is extracted from the request with its
/// body.
#[derive(Clone, Copy, Debug)]
pub struct ViaRequest;

impl<A, T, S> FromRequest<S, ViaParts> for ArgumentsGivenByRouter<A, T>
where
    A: Annotated,
    T: FromRequestParts<S>,
    S: Send + Sync,
{
    type Rejection = LimitRejection;

    fn from_request(
        request: Request,
        state: &S,
    ) -> impl Future<Output = Result<Self, LimitRejection>> + Send {
        let future = extract_from_parts(HandlerLimits::of::<A>(), request, state);
        ForHandler { future, handler: PhantomData }
    }
}

impl<A, T, S> FromRequest<S, ViaRequest> for ArgumentsGivenByRouter<A, T>
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
        let future = extract_from_request(HandlerLimits::of::<A>(), request, state);
        ForHandler { future, handler: PhantomData }
    }
}

/// Checks the limits, and then extracts the arguments. The request is split before the future
/// begins, so that the future stores it only once.
fn extract_from_parts<T: FromRequestParts<S>, S: Sync>(
    limits: HandlerLimits,
    request: Request,
    state: &S,
) -> impl Future<Output = Result<(Admission, T), LimitRejection>> + Send {
    let (mut parts, body) = request.into_parts();
    async move {
        let checked = match check(limits, &mut parts, false) {
            CheckNow::Done(checked) => checked,
            CheckNow::Waits(pending) => check_later(limits, &mut parts, pending, false).await,
        };
        let mut admission = match checked {
            Ok(admission) => admission,
            Err(refused) => return Err(LimitRejection(refused.respond(&parts, body))),
        };
        admission.keep_body(body);
        let response = match T::from_request_parts(&mut parts, state).await {
            Ok(arguments) => return Ok((admission, arguments)),
            Err(rejection) => rejection.into_response(),
        };
        Err(LimitRejection::new(admission.finish(response).await))
    }
}

fn extract_from_request<T: FromRequest<S>, S: Sync>(
    limits: HandlerLimits,
    request: Request,
    state: &S,
) -> impl Future<Output = Result<(Admission, T), LimitRejection>> + Send {
    let (mut parts, body) = request.into_parts();
    async move {
        let checked = match check(limits, &mut parts, true) {
            CheckNow::Done(checked) => checked,
            CheckNow::Waits(pending) => check_later(limits, &mut parts, pending, true).await,
        };
        let admission = match checked {
            Ok(admission) => admission,
            Err(refused) => return Err(LimitRejection(refused.respond(&parts, body))),
        };
        let response = match T::from_request(Request::from_parts(parts, body), state).await {
            Ok(arguments) => return Ok((admission, arguments)),
            Err(rejection) => rejection.into_response(),
        };
        Err(LimitRejection::new(admission.finish(response).await))
    }
}

/// A placeholder for an argument that was moved into [`ArgumentsGivenByRouter`], the last argument. With it a
/// handler has the original number of arguments, because `#[debug_handler]` calls the handler with
/// that number.
#[derive(Clone, Copy, Debug)]
pub struct GivenByRouter;

impl<S: Sync> FromRequestParts<S> for GivenByRouter {
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
    type Output = Result<ArgumentsGivenByRouter<A, T>, LimitRejection>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().future.poll(context) {
            Poll::Ready(Ok((admission, arguments))) => {
                Poll::Ready(Ok(ArgumentsGivenByRouter(admission, arguments, PhantomData)))
            }
            Poll::Ready(Err(rejection)) => Poll::Ready(Err(rejection)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Formats the arguments. `#[tracing::instrument]` below the attribute needs this, because it
/// records arguments.
impl<A, T: fmt::Debug> fmt::Debug for ArgumentsGivenByRouter<A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArgumentsGivenByRouter").field(&self.0).field(&self.1).finish()
    }
}
