//! The layer that gives a limiter to the requests of a router.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use axum::http::{Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::Limiter;
use crate::global::{Scoped, note_layer, scope, scope_now};

impl Limiter {
    /// Creates a layer that makes the requests behind it use this limiter instead of the global
    /// one: annotated handlers, layers that have no limiter of their own, and annotated functions
    /// that a handler calls, until the response's body has ended. [`get_limiter`] returns it there.
    ///
    /// Add it after the routes, because axum's layers apply to the routes that were added before
    /// them. A task that a handler spawns, also that of a WebSocket, does not belong to the request
    /// any more: see [`scope`](Self::scope).
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use tollgate::{Limiter, MemoryBackend};
    ///
    /// let limiter = Limiter::new(MemoryBackend::new());
    /// let app: Router = Router::new().route("/", get("hello")).layer(limiter.layer());
    /// ```
    ///
    /// [`get_limiter`]: crate::get_limiter
    #[must_use]
    pub fn layer(&self) -> LimiterLayer {
        note_layer();
        LimiterLayer { limiter: self.clone() }
    }
}

/// A layer that gives a limiter to the requests behind it. [`Limiter::layer`] creates it.
#[derive(Clone, Debug)]
pub struct LimiterLayer {
    limiter: Limiter,
}

impl<S> Layer<S> for LimiterLayer {
    type Service = LimiterService<S>;

    fn layer(&self, inner: S) -> LimiterService<S> {
        LimiterService { inner, limiter: self.limiter.clone() }
    }
}

/// The service that a [`LimiterLayer`] creates.
#[derive(Clone, Debug)]
pub struct LimiterService<S> {
    inner: S,
    limiter: Limiter,
}

impl<S, B, R> Service<Request<B>> for LimiterService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<LimiterBody<R>>;
    type Error = S::Error;
    type Future = LimiterFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // Handlers and layers find the limiter in the request, even if a service in between has
        // moved the request to another task. All others find it in the scope.
        request.extensions_mut().insert(self.limiter.clone());
        let future = scope_now(&self.limiter, || self.inner.call(request));
        let limiter = self.limiter.clone();
        LimiterFuture { future: scope(limiter.clone(), future), limiter }
    }
}

pin_project! {
    /// The future of a response, which runs in the scope of a [`LimiterLayer`]'s limiter.
    #[derive(Debug)]
    pub struct LimiterFuture<F> {
        #[pin]
        future: Scoped<F>,
        limiter: Limiter,
    }
}

impl<F, R, E> Future for LimiterFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<LimiterBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(context))?;
        let limiter = this.limiter.clone();
        Poll::Ready(Ok(response.map(|body| LimiterBody { body: Some(body), limiter })))
    }
}

pin_project! {
    /// The body of a response, which runs in the scope of a [`LimiterLayer`]'s limiter.
    #[derive(Debug)]
    pub struct LimiterBody<B> {
        // The body is `None` only while the whole is being dropped.
        #[pin]
        body: Option<B>,
        limiter: Limiter,
    }

    impl<B> PinnedDrop for LimiterBody<B> {
        /// Drops the body in the scope, too, because a stream may call functions when it ends.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            scope_now(this.limiter, || this.body.set(None));
        }
    }
}

impl<B: HttpBody> HttpBody for LimiterBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
        scope_now(this.limiter, || body.poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}
