//! Whose requests they are, as the limiter sees it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use tollgate::{HttpOptions, Key, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer};
use tower::{Layer as _, Service as _, service_fn};

/// Tells the subject of any request. Each is too heavy for its limit, and so is reported.
pub(crate) struct Subjects {
    service: tower::util::BoxService<Request<Body>, Response<Body>, std::convert::Infallible>,
    subject: Arc<Mutex<Option<String>>>,
}

impl Subjects {
    pub(crate) fn new(key: Key, options: HttpOptions) -> Self {
        let limiter = Limiter::builder(MemoryBackend::new()).http(options).build();
        let policy = Policy::new("light", Quota::new(1, Duration::from_secs(1)));
        let subject = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&subject);
        let layer =
            RateLimitLayer::new(policy).key(key).cost(2).limiter(&limiter).on_blocked(
                move |blocked| *noted.lock().unwrap() = Some(blocked.subject().to_owned()),
            );
        let inner = service_fn(|_: Request<Body>| async { Ok(Response::new(Body::empty())) });
        Self { service: tower::util::BoxService::new(layer.layer(inner)), subject }
    }

    /// The response, and the subject if there was one.
    pub(crate) async fn ask(&mut self, request: Request<Body>) -> (Response<Body>, Option<String>) {
        let response = self.service.call(request).await.unwrap();
        (response, self.subject.lock().unwrap().take())
    }

    /// The subject of a request from `peer`.
    pub(crate) async fn of(&mut self, peer: SocketAddr, mut request: Request<Body>) -> String {
        request.extensions_mut().insert(ConnectInfo(peer));
        self.ask(request).await.1.unwrap()
    }
}
