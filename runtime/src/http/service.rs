//! The service that a [`RateLimitLayer`](crate::RateLimitLayer) creates.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::request::Parts;
use axum::http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::check::{CheckNow, CheckOutcome, Checker, PendingCheck};
use super::counted::Policies;
use super::layer_limit::LayerLimit;
use super::refused::{RefusedRequest, Refusing};
use super::request_grant::RequestGrant;
use crate::Limiter;

/// A service with a limit in front of it.
#[derive(Clone, Debug)]
pub struct RateLimitService<S> {
    inner: S,
    limit: LayerLimit,
}

impl<S> RateLimitService<S> {
    pub(super) fn new(inner: S, limit: LayerLimit) -> Self {
        Self { inner, limit }
    }
}

impl<S, B, R> Service<Request<B>> for RateLimitService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: HttpBody + Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let limit = &self.limit;
        let checked = if limit.skips(&parts) {
            Some(CheckNow::Done(CheckOutcome::Uncounted))
        } else if limit.has_to_wait() {
            None
        } else {
            limit.with_limiter(&parts, |limiter| {
                let grant = |granted| RequestGrant::new(limit.clone(), limiter, granted);
                checker(limit, limiter).check_now(&parts, grant)
            })
        };
        match checked {
            Some(CheckNow::Done(CheckOutcome::Granted(mut grant))) => {
                let request = admitted_request(Some(&mut grant), parts, body);
                let policies = Policies::of(limit.policy());
                let future = policies.run(|| self.inner.call(request));
                ResponseState::Inner { future, grant: Some(grant), policies }
            }
            Some(CheckNow::Done(CheckOutcome::Uncounted)) => {
                let policies = Policies::of(limit.policy());
                let future = self.inner.call(Request::from_parts(parts, body));
                ResponseState::Inner { future, grant: None, policies }
            }
            Some(CheckNow::Done(CheckOutcome::Refused(refused))) => {
                ResponseState::Refused { response: Some(refused.respond(&parts, body)) }
            }
            Some(CheckNow::Waits(pending)) => self.boxed(parts, body, pending),
            None => self.boxed(parts, body, None),
        }
        .into()
    }
}

impl<S> RateLimitService<S> {
    /// Returns the state of a request whose check has to wait. `pending` is the check, if the key
    /// is known.
    fn boxed<B, R>(
        &mut self,
        parts: Parts,
        body: B,
        pending: Option<Box<PendingCheck>>,
    ) -> ResponseState<S::Future, S::Error>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send,
        B: HttpBody + Send + 'static,
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        // Only the original was polled until ready, so it is called, and the clone takes its place.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let future = check_and_call(inner, self.limit.clone(), (parts, body), pending);
        ResponseState::Boxed { future: Box::pin(future) }
    }
}

/// Checks a request and, if it is admitted, calls the service. For checks that have to wait.
async fn check_and_call<S, B, R>(
    mut inner: S,
    limit: LayerLimit,
    (mut parts, body): (Parts, B),
    pending: Option<Box<PendingCheck>>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: HttpBody + Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let limiter = limit.with_limiter(&parts, Limiter::clone);
    let grant = |granted| RequestGrant::new(limit.clone(), &limiter, granted);
    let checker = checker(&limit, &limiter);
    let outcome = match pending {
        Some(pending) => checker.wait(&parts, *pending, grant).await,
        None => checker.check(&mut parts, grant).await,
    };
    let mut grant = match outcome.answered() {
        Ok(grant) => grant,
        Err(refused) => return Ok(*refused.respond(&parts, body)),
    };
    let request = admitted_request(grant.as_mut(), parts, body);
    let policies = Policies::of(limit.policy());
    let mut future = pin!(policies.run(|| inner.call(request)));
    let run = poll_fn(|context| policies.run(|| future.as_mut().poll(context)));
    let mut response = run.await?.map(Body::new);
    if let Some(unfinished) = grant.and_then(|grant| grant.finish(&mut response)) {
        unfinished.finish(&mut response).await;
    }
    Ok(response)
}

fn checker<'a>(limit: &'a LayerLimit, limiter: &'a Limiter) -> Checker<'a, RefusedRequest> {
    let keeps_decision = limit.keeps_decision();
    let refuse = |refusing: Refusing<'_>| refusing.respond();
    Checker { limit, limiter, keeps_decision, records_count: true, refuse }
}

/// Rebuilds an admitted request from its parts and its body. Adds to its extensions what handlers
/// and limits behind this one have to know.
#[inline]
fn admitted_request<B>(
    grant: Option<&mut RequestGrant<LayerLimit>>,
    mut parts: Parts,
    body: B,
) -> Request<B> {
    if let Some(grant) = grant {
        grant.prepare(&mut parts.extensions);
    }
    Request::from_parts(parts, body)
}

type BoxedFuture<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

pin_project! {
    /// The future of a limited service's response, or of the refusal.
    pub struct ResponseFuture<F, E> {
        #[pin]
        state: ResponseState<F, E>,
    }
}

pin_project! {
    #[project = ResponseStateProjection]
    enum ResponseState<F, E> {
        /// The request is admitted, and the inner service responds to it.
        Inner {
            #[pin]
            future: F,
            grant: Option<RequestGrant<LayerLimit>>,
            policies: Policies,
        },
        /// The request is refused with this response.
        Refused {
            response: Option<Box<Response<Body>>>,
        },
        /// The key, the backend or a refund has to be awaited.
        Boxed {
            future: BoxedFuture<E>,
        },
    }
}

impl<F, E> From<ResponseState<F, E>> for ResponseFuture<F, E> {
    fn from(state: ResponseState<F, E>) -> Self {
        Self { state }
    }
}

impl<F, R, E> Future for ResponseFuture<F, E>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    E: 'static,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                ResponseStateProjection::Inner { future, grant, policies } => {
                    let polled = match grant {
                        Some(_) => policies.run(|| future.poll(context)),
                        None => future.poll(context),
                    };
                    let mut response = ready!(polled)?.map(Body::new);
                    let unfinished = grant.take().and_then(|grant| grant.finish(&mut response));
                    let Some(unfinished) = unfinished else { return Poll::Ready(Ok(response)) };
                    let future = async move {
                        unfinished.finish(&mut response).await;
                        Ok(response)
                    };
                    ResponseState::Boxed { future: Box::pin(future) }
                }
                ResponseStateProjection::Refused { response } => {
                    // The response is `None` only if the future is polled again after it was ready.
                    return response
                        .take()
                        .map_or(Poll::Pending, |refusal| Poll::Ready(Ok(*refusal)));
                }
                ResponseStateProjection::Boxed { future } => return future.as_mut().poll(context),
            };
            this.state.set(next);
        }
    }
}

impl<F, E> fmt::Debug for ResponseFuture<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
