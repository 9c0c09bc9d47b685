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

use super::ask::{Asked, Granted, Limiting as _, ask, ask_now, give_back};
use super::guard::with_limiter;
use super::layer::LayerLimit;
use super::shown::RateLimit;
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
        let limiter =
            self.limit.limiter.clone().unwrap_or_else(|| with_limiter(&parts, Limiter::clone));
        let limit = Arc::clone(&self.limit);
        let keep = limit.keeps_decisions();
        let asked =
            if limit.waits { None } else { ask_now(&*limit, &limiter, &parts, keep, Box::new) };
        let Some(asked) = asked else {
            // The service that has been found ready is the one to call.
            let ready = self.inner.clone();
            let inner = std::mem::replace(&mut self.inner, ready);
            return State::Boxed { future: Box::pin(wait(inner, limit, limiter, parts, body)) }
                .into();
        };
        let granted = match asked {
            Asked::Granted(granted) => Some(granted),
            Asked::Uncounted => None,
            Asked::Refused(refusal) => return State::Refused { response: Some(refusal) }.into(),
        };
        let admitted = Admitted { limit, limiter, granted };
        let request = admitted.shown(parts, body);
        State::Inner { future: self.inner.call(request), admitted: Some(admitted) }.into()
    }
}

/// The whole way, where it takes waiting.
async fn wait<S, B, R>(
    mut inner: S,
    limit: Arc<LayerLimit>,
    limiter: Limiter,
    mut parts: Parts,
    body: B,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let granted = match ask(&*limit, &limiter, &mut parts, limit.keeps_decisions(), Box::new).await
    {
        Asked::Granted(granted) => Some(granted),
        Asked::Uncounted => None,
        Asked::Refused(refusal) => return Ok(*refusal),
    };
    let admitted = Admitted { limit, limiter, granted };
    let request = admitted.shown(parts, body);
    let response = inner.call(request).await?.map(Body::new);
    let (response, charge) = admitted.finish(response);
    if let Some(charge) = charge {
        charge.give_back().await;
    }
    Ok(response)
}

/// A request that goes on.
struct Admitted {
    limit: Arc<LayerLimit>,
    limiter: Limiter,
    /// `None` if it is not counted.
    granted: Option<Box<Granted>>,
}

impl Admitted {
    fn shown<B>(&self, mut parts: Parts, body: B) -> Request<B> {
        if self.limit.shows
            && let Some(granted) = &self.granted
            && let Some(decision) = &granted.decision
        {
            RateLimit::show(&mut parts.extensions, granted.policy(&*self.limit), decision);
        }
        Request::from_parts(parts, body)
    }

    /// Completes the service's response, and hands back the charge if it is to be given back.
    fn finish(self, mut response: Response<Body>) -> (Response<Body>, Option<Charge>) {
        let Self { limit, limiter, granted } = self;
        let Some(mut granted) = granted else { return (response, None) };
        granted.add_fields(&*limit, &mut response);
        let refunds = limit.refund_if.as_ref().is_some_and(|refund_if| refund_if(&response));
        let charge = match granted.decision {
            Some(decision) if refunds => Some(Charge { limit, limiter, decision }),
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
        give_back(self.limit.policy(), &self.limiter, *self.decision).await;
    }
}

type BoxedFuture<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

pin_project! {
    /// The response of a service with a limit, or the refusal.
    pub struct ResponseFuture<F, E> {
        #[pin]
        state: State<F, E>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, E> {
        /// It was let through.
        Inner {
            #[pin]
            future: F,
            admitted: Option<Admitted>,
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

impl<F, E> From<State<F, E>> for ResponseFuture<F, E> {
    fn from(state: State<F, E>) -> Self {
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
                    State::Boxed { future: Box::pin(future) }
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
