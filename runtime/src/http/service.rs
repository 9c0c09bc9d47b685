//! The service that a [`RateLimitLayer`](super::RateLimitLayer) makes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::request::Parts;
use axum::http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::check::{CheckOutcome, Checker, Granted, HttpLimit as _, refund};
use super::extractor::RateLimit;
use super::layer::LayerLimit;
use crate::{Decision, Limiter};

/// A service with a limit in front of it.
#[derive(Clone, Debug)]
pub struct RateLimitService<S> {
    inner: S,
    limit: Arc<LayerLimit>,
}

impl<S> RateLimitService<S> {
    pub(super) fn new(inner: S, limit: Arc<LayerLimit>) -> Self {
        Self { inner, limit }
    }
}

impl<S, B, R> Service<Request<B>> for RateLimitService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
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
        let asked = if limit.waits {
            None
        } else {
            limit.with_limiter(&parts, |limiter| {
                let admit = |granted| AdmittedRequest::new(limit, limiter, granted);
                let keeps_decision = limit.keeps_decisions();
                Checker { limit: &**limit, limiter, keeps_decision }.check_now(&parts, admit)
            })
        };
        let Some(asked) = asked else {
            // The service that has been found ready is the one to call.
            let ready = self.inner.clone();
            let inner = std::mem::replace(&mut self.inner, ready);
            let future = Box::pin(wait(inner, Arc::clone(limit), parts, body));
            return ResponseState::Boxed { future }.into();
        };
        let admitted = match asked {
            CheckOutcome::Granted(admitted) => Some(admitted),
            CheckOutcome::Uncounted => None,
            CheckOutcome::Refused(refusal) => {
                return ResponseState::Refused { response: Some(refusal) }.into();
            }
        };
        let request = shown(admitted.as_deref(), parts, body);
        ResponseState::Inner { future: self.inner.call(request), admitted }.into()
    }
}

/// The whole way, where it takes waiting.
async fn wait<S, B, R>(
    mut inner: S,
    limit: Arc<LayerLimit>,
    mut parts: Parts,
    body: B,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let limiter = limit.with_limiter(&parts, Limiter::clone);
    let admit = |granted| AdmittedRequest::new(&limit, &limiter, granted);
    let keeps_decision = limit.keeps_decisions();
    let checker = Checker { limit: &*limit, limiter: &limiter, keeps_decision };
    let admitted = match checker.check(&mut parts, admit).await {
        CheckOutcome::Granted(admitted) => Some(admitted),
        CheckOutcome::Uncounted => None,
        CheckOutcome::Refused(refusal) => return Ok(*refusal),
    };
    let request = shown(admitted.as_deref(), parts, body);
    let response = inner.call(request).await?.map(Body::new);
    let Some(admitted) = admitted else { return Ok(response) };
    let (response, charge) = admitted.finish(response);
    if let Some(charge) = charge {
        charge.give_back().await;
    }
    Ok(response)
}

/// The request, with the decision where a handler finds it that looks at it.
fn shown<B>(admitted: Option<&AdmittedRequest>, mut parts: Parts, body: B) -> Request<B> {
    if let Some(AdmittedRequest { limit, granted, .. }) = admitted
        && limit.shows
        && let Some(decision) = &granted.decision
    {
        RateLimit::show(&mut parts.extensions, granted.policy(&**limit), decision);
    }
    Request::from_parts(parts, body)
}

/// A request that goes on, and is counted.
struct AdmittedRequest {
    limit: Arc<LayerLimit>,
    /// If something may have to be given back.
    limiter: Option<Limiter>,
    granted: Granted,
}

impl AdmittedRequest {
    fn new(limit: &Arc<LayerLimit>, limiter: &Limiter, granted: Granted) -> Box<Self> {
        let limiter = limit.refund_if.as_ref().map(|_| limiter.clone());
        Box::new(Self { limit: Arc::clone(limit), limiter, granted })
    }

    /// Completes the service's response, and hands back the charge if it is to be given back.
    fn finish(self, mut response: Response<Body>) -> (Response<Body>, Option<Charge>) {
        let Self { limit, limiter, mut granted } = self;
        granted.add_headers(&*limit, &mut response);
        let refunds = limit.refund_if.as_ref().is_some_and(|refund_if| refund_if(&response));
        let charge = match (granted.decision, limiter) {
            (Some(decision), Some(limiter)) if refunds => Some(Charge { limit, limiter, decision }),
            _ => None,
        };
        (response, charge)
    }
}

/// What a request was charged.
struct Charge {
    limit: Arc<LayerLimit>,
    limiter: Limiter,
    decision: Box<Decision>,
}

impl Charge {
    async fn give_back(self) {
        refund(self.limit.policy(), &self.limiter, *self.decision).await;
    }
}

type BoxedFuture<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

pin_project! {
    /// The response of a service with a limit, or the refusal.
    pub struct ResponseFuture<F, E> {
        #[pin]
        state: ResponseState<F, E>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum ResponseState<F, E> {
        /// It was let through.
        Inner {
            #[pin]
            future: F,
            admitted: Option<Box<AdmittedRequest>>,
        },
        /// It was not.
        Refused {
            response: Option<Box<Response<Body>>>,
        },
        /// Something has to be waited for: the key, the store, or a refund.
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
                StateProjection::Inner { future, admitted } => {
                    let response = ready!(future.poll(context))?.map(Body::new);
                    let Some(admitted) = admitted.take() else { return Poll::Ready(Ok(response)) };
                    let (response, charge) = admitted.finish(response);
                    let Some(charge) = charge else { return Poll::Ready(Ok(response)) };
                    let future = async move {
                        charge.give_back().await;
                        Ok(response)
                    };
                    ResponseState::Boxed { future: Box::pin(future) }
                }
                StateProjection::Refused { response } => {
                    // A future is not polled again after it is ready.
                    return response
                        .take()
                        .map_or(Poll::Pending, |refusal| Poll::Ready(Ok(*refusal)));
                }
                StateProjection::Boxed { future } => return future.as_mut().poll(context),
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
