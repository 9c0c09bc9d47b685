//! Which limiter an annotated function asks. The global one is this process's.

use axum::Router;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::StatusCode;
use axum::routing::get;
use support::log::Log;
use support::{FailingBackend, limiter, status};
use tollgate::{Limiter, get_limiter, rate_limit, set_limiter, testing};

#[rate_limit(1, per = hour)]
async fn once() {}

#[tokio::test]
async fn the_nearest_limiter_is_asked() {
    if support::is_left_to_a_process_of_its_own(module_path!(), "the_nearest_limiter_is_asked") {
        return;
    }
    let log = Log::of_the_program();
    let count = |text: &str| log.text().matches(text).count();
    let address = std::net::SocketAddr::from(([192, 0, 2, 1], 1));
    let app = Router::new().route("/", get(once)).layer(MockConnectInfo(address));
    let call = || status(&app, support::get("/"));

    // None was set: one in memory, with one warning.
    assert_eq!(call().await, StatusCode::OK);
    assert_eq!(call().await, StatusCode::TOO_MANY_REQUESTS);
    let _ = get_limiter();
    assert_eq!(count("no limiter was set"), 1);
    // No layer has one, so nothing is said of layers.
    assert_eq!(count("limiter.layer()"), 0);

    // The one that was set, until another replaces it. A backend that fails is logged when it
    // begins to, not with every request.
    set_limiter(Limiter::new(FailingBackend));
    assert_eq!(call().await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(call().await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(count("backend fails"), 1);
    set_limiter(limiter().0);
    assert_eq!(call().await, StatusCode::OK);
    assert_eq!(call().await, StatusCode::TOO_MANY_REQUESTS);

    // A scope comes before it, and does not outlast its future.
    testing::scope(limiter().0, async {
        assert_eq!(call().await, StatusCode::OK);
        assert_eq!(call().await, StatusCode::TOO_MANY_REQUESTS);
    })
    .await;
    assert_eq!(call().await, StatusCode::TOO_MANY_REQUESTS);

    // A layer comes before everything.
    let layered = app.clone().layer(limiter().0.layer());
    let call = || status(&layered, support::get("/"));
    testing::scope(Limiter::new(FailingBackend), async {
        assert_eq!(call().await, StatusCode::OK);
        assert_eq!(call().await, StatusCode::TOO_MANY_REQUESTS);
    })
    .await;
}

/// A limiter's layer that was added before the routes does not reach them. So the warning that no
/// limiter was set says where to add it.
#[tokio::test]
async fn a_layer_before_the_routes_is_told() {
    let test = "a_layer_before_the_routes_is_told";
    if support::is_left_to_a_process_of_its_own(module_path!(), test) {
        return;
    }
    let log = Log::of_the_program();
    let address = std::net::SocketAddr::from(([192, 0, 2, 1], 1));
    let app = Router::new().layer(limiter().0.layer()).route("/", get(once));
    let app = app.layer(MockConnectInfo(address));
    assert_eq!(status(&app, support::get("/")).await, StatusCode::OK);
    let advice = "or add `limiter.layer()` to the router after its routes";
    assert_eq!(log.text().matches(advice).count(), 1, "{}", log.text());
}
