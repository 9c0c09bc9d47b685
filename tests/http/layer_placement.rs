//! Layers that are added to a router before its routes limit nothing there: that is told, and told
//! only then.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::handler::Handler as _;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{MethodRouter, any_service, get, get_service};
use axum::{BoxError, Router};
use support::log::Log;
use support::{limiter, local, send};
use tollgate::{Key, Policy, Quota, RateLimitLayer};
use tower::{Layer as _, Service, ServiceBuilder, service_fn};
use tracing::Level;

const PLACED: Policy = Policy::new("placed", Quota::new(1, Duration::from_secs(60)));

/// A layer that admits one request.
fn layer() -> RateLimitLayer {
    RateLimitLayer::new(PLACED).key(Key::global())
}

async fn handler() {}

fn service()
-> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Sync {
    service_fn(async |_: Request<Body>| Ok(Response::default()))
}

type Case = (&'static str, fn() -> Router);

fn warnings(build: fn() -> Router) -> (Router, String) {
    let (log, _guard) = Log::of_this_thread(Level::WARN);
    let router = build();
    (router, log.text())
}

/// The number of requests for `/` of three that are refused.
async fn refused(router: Router) -> usize {
    let app = local(router, &limiter().0);
    let mut refused = 0;
    for _ in 0..3 {
        let status = send(&app, support::get("/")).await.status();
        refused += usize::from(status == StatusCode::TOO_MANY_REQUESTS);
    }
    refused
}

#[tokio::test]
async fn a_layer_before_the_routes_is_told() {
    let cases: [Case; 9] = [
        ("plain", || Router::new().layer(layer()).route("/", get(handler))),
        ("with other layers", || {
            let other = tower::layer::layer_fn(|inner| inner);
            Router::new().layer(other).layer(layer()).layer(other).route("/", get(handler))
        }),
        ("in a ServiceBuilder", || {
            let stack = ServiceBuilder::new().layer(layer()).concurrency_limit(9);
            Router::new().layer(stack).route("/", get(handler))
        }),
        ("beneath another layer", || {
            let stack = ServiceBuilder::new().concurrency_limit(9).layer(layer());
            Router::new().layer(stack).route("/", get(handler))
        }),
        ("in a tuple", || {
            Router::new()
                .layer((tower::layer::util::Identity::new(), layer()))
                .route("/", get(handler))
        }),
        ("a clone", || {
            let layer = layer();
            let app = Router::new().layer(layer.clone()).route("/", get(handler));
            drop(layer);
            app
        }),
        ("with state", || {
            Router::new().layer(layer()).route("/", get(handler)).with_state::<()>(())
        }),
        ("before a merge", || {
            Router::new().layer(layer()).merge(Router::new().route("/", get(handler)))
        }),
        ("before a service", || Router::new().layer(layer()).route_service("/", service())),
    ];
    for (name, build) in cases {
        let (router, log) = warnings(build);
        assert_eq!(log.matches("router without routes").count(), 1, "{name}: {log}");
        assert!(
            log.contains("placed") && log.contains("http/layer_placement.rs:"),
            "{name}: {log}"
        );
        assert_eq!(refused(router).await, 0, "{name}");
    }
}

#[tokio::test]
async fn a_layer_where_it_belongs_is_not() {
    let cases: [Case; 25] = [
        ("after a route", || Router::new().route("/", get(handler)).layer(layer())),
        ("after a service", || Router::new().route_service("/", service()).layer(layer())),
        ("after several", || {
            let app =
                Router::new().route("/a", get(handler)).route("/b", get(handler).post(handler));
            app.route("/", get(handler)).layer(layer())
        }),
        ("after all methods", || {
            Router::new().route("/", axum::routing::any(handler)).layer(layer())
        }),
        ("after a nested router", || {
            let api = Router::new().route("/x", get(handler));
            Router::new().nest("/api", api).route("/", get(handler)).layer(layer())
        }),
        ("on a merged router", || {
            let api = Router::new().route("/", get(handler)).layer(layer());
            Router::new().merge(api)
        }),
        ("after a merge", || {
            Router::new().merge(Router::new().route("/", get(handler))).layer(layer())
        }),
        ("after a nested service", || {
            Router::new().nest_service("/x", service()).route("/", get(handler)).layer(layer())
        }),
        ("with a fallback", || {
            Router::new().route("/", get(handler)).fallback(handler).layer(layer())
        }),
        ("with a fallback service", || {
            Router::new().route("/", get(handler)).fallback_service(service()).layer(layer())
        }),
        ("with nothing but a fallback", || Router::new().fallback(handler).layer(layer())),
        ("with nothing but a stateful fallback", || {
            Router::new().fallback(handler).layer(layer()).with_state(())
        }),
        ("by route_layer", || Router::new().route("/", get(handler)).route_layer(layer())),
        ("on a method", || Router::new().route("/", get(handler).layer(layer()))),
        ("on methods", || Router::new().route("/", get(handler).post(handler).layer(layer()))),
        ("on services of methods", || {
            let methods = get_service(service()).post_service(service()).put_service(service());
            Router::new().route("/", methods.layer(layer()))
        }),
        ("on any service", || Router::new().route("/", any_service(service()).layer(layer()))),
        ("on a method by route_layer", || {
            Router::new().route("/", get_service(service()).route_layer(layer()))
        }),
        ("on a method router's fallback", || {
            Router::new().route("/", MethodRouter::new().fallback(handler).layer(layer()))
        }),
        ("on a handler", || Router::new().route("/", get(handler.layer(layer())))),
        ("on a service", || Router::new().route_service("/", layer().layer(service()))),
        ("in a ServiceBuilder", || {
            let stack = ServiceBuilder::new()
                .layer(HandleErrorLayer::new(async |_: BoxError| StatusCode::REQUEST_TIMEOUT))
                .layer(layer())
                .timeout(Duration::from_secs(9));
            Router::new().route("/", get(handler)).layer(stack)
        }),
        ("in a ServiceBuilder's service", || {
            Router::new()
                .route_service("/", ServiceBuilder::new().layer(layer()).service(service()))
        }),
        ("twice", || {
            let layer = layer();
            let spare = layer.clone();
            let one = Router::new().route("/", get(handler)).layer(layer.clone());
            let other = Router::new().route("/other", get(handler)).layer(layer);
            drop(spare);
            one.merge(other)
        }),
        ("with clones that are not used", || {
            let layer = layer();
            drop(layer.clone());
            drop(layer.clone().show());
            Router::new().route("/", get(handler)).layer(layer)
        }),
    ];
    for (name, build) in cases {
        let (router, log) = warnings(build);
        assert_eq!(log, "", "{name}");
        assert_eq!(refused(router.clone()).await, 2, "{name}");
        // Nor when the router is used.
        let (log, _guard) = Log::of_this_thread(Level::WARN);
        let app: Router = router.with_state(());
        refused(app.clone().merge(Router::new())).await;
        assert_eq!(log.text(), "", "{name}");
    }
}

/// A router with a fallback service and no routes cannot be told from one without anything. The
/// message is right there, too.
#[tokio::test]
async fn of_a_fallback_service_alone_it_says_what_is_limited() {
    let build: fn() -> Router = || Router::new().fallback_service(service()).layer(layer());
    let (router, log) = warnings(build);
    assert!(log.contains("it limits only requests that match no route"), "{log}");
    assert_eq!(refused(router).await, 2);
}
