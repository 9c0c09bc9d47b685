//! Whose requests they are, as the limiter sees it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use axum::routing::any;
use tollgate::{Blocked, HttpOptions, Key, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer};
use tower::util::BoxService;
use tower::{Layer as _, Service as _, service_fn};

/// Tells the subject of any request. Each is too heavy for its limit, and so is reported.
pub struct Subjects {
    service: BoxService<Request<Body>, Response<Body>, Infallible>,
    subject: Noted,
}

type Noted = Arc<Mutex<Option<String>>>;

fn layer(name: &str, key: Key, options: HttpOptions) -> (RateLimitLayer, Noted) {
    let limiter = Limiter::builder(MemoryBackend::new()).http(options).build();
    let policy = Policy::named(name, Quota::new(1, Duration::from_secs(1)));
    let subject = Noted::default();
    let noted = Arc::clone(&subject);
    let note = move |blocked: &Blocked<'_>| {
        *noted.lock().unwrap() = Some(blocked.subject().to_owned());
    };
    let layer = RateLimitLayer::new(policy).key(key).cost(2).limiter(limiter).on_blocked(note);
    (layer, subject)
}

impl Subjects {
    /// Asked in front of any service.
    pub fn new(key: Key, options: HttpOptions) -> Self {
        let (layer, subject) = layer("light", key, options);
        let inner = service_fn(|_: Request<Body>| async { Ok(Response::new(Body::empty())) });
        Self { service: BoxService::new(layer.layer(inner)), subject }
    }

    /// As [`new`](Self::new), by a policy of this name.
    pub fn named(name: &str) -> Self {
        let (layer, subject) = layer(name, Key::global(), HttpOptions::new());
        let inner = service_fn(|_: Request<Body>| async { Ok(Response::new(Body::empty())) });
        Self { service: BoxService::new(layer.layer(inner)), subject }
    }

    /// Asked on the routes `/{id}` and `/{id}/{*rest}`.
    pub fn on_routes(key: Key) -> Self {
        Self::on_routes_with(key, HttpOptions::new())
    }

    /// As [`on_routes`](Self::on_routes), with these options.
    pub fn on_routes_with(key: Key, options: HttpOptions) -> Self {
        let (layer, subject) = layer("light", key, options);
        let routes = Router::new()
            .route("/{id}", any(async || ()))
            .route("/{id}/{*rest}", any(async || ()))
            .route_layer(layer);
        Self { service: BoxService::new(routes), subject }
    }

    /// The response, and the subject if there was one.
    pub async fn ask(&mut self, request: Request<Body>) -> (Response<Body>, Option<String>) {
        let response = self.service.call(request).await.unwrap();
        (response, self.subject.lock().unwrap().take())
    }

    /// The subject of a request from `peer`.
    pub async fn of(&mut self, peer: SocketAddr, mut request: Request<Body>) -> String {
        request.extensions_mut().insert(ConnectInfo(peer));
        self.ask(request).await.1.unwrap()
    }
}
