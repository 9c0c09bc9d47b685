//! The limit is checked before the body is read and before the handler's other extractors.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use support::wire::Wire;
use support::{Server, limiter, local, send, status};
use tokio::time::timeout;
use tollgate::rate_limit;

#[derive(Deserialize)]
struct Order {
    count: u32,
}

#[rate_limit(3, per = minute)]
async fn order(Json(order): Json<Order>) -> String {
    order.count.to_string()
}

/// Fails whenever it is asked.
struct Broken;

impl<S: Sync> FromRequestParts<S> for Broken {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Err(StatusCode::IM_A_TEAPOT)
    }
}

#[rate_limit(1, per = minute)]
async fn broken_first(_: Broken) {}

#[tokio::test]
async fn malformed_json_is_the_handlers_error_while_permitted_and_429_once_exhausted() {
    let (limiter, _clock) = limiter();
    let app = local(Router::new().route("/orders", post(order)), &limiter);
    let order = |body: &'static str| support::post("/orders", "application/json", body);
    assert_eq!(status(&app, order("{\"count\":")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(&app, order("{\"count\":-1}")).await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(status(&app, order("{\"count\":2}")).await, StatusCode::OK);
    assert_eq!(status(&app, order("{\"count\":")).await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn the_guard_runs_before_the_first_extractor() {
    let (limiter, _clock) = limiter();
    let app = local(Router::new().route("/", get(broken_first)), &limiter);
    assert_eq!(send(&app, support::get("/")).await.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(send(&app, support::get("/")).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

/// Far longer than an answer takes that waits for nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// The client announces a body and never sends it: were the body read, no answer would come.
#[tokio::test]
async fn a_refused_upload_is_answered_on_its_headers_alone() {
    let (limiter, _clock) = limiter();
    let server = Server::start(Router::new().route("/orders", post(order)), &limiter).await;
    for _ in 0..3 {
        assert_eq!(exchange(&server, "Content-Length: 11\r\n\r\n{\"count\":1}").await, 200);
    }
    assert_eq!(exchange(&server, "Content-Length: 1000000\r\n\r\n").await, 429);
    server.stop().await;
}

/// Sends a request that ends as given, and returns the status of the response.
async fn exchange(server: &Server, end: &str) -> u16 {
    let mut wire = Wire::connect(Ipv4Addr::LOCALHOST.into(), server.address).await;
    let head = "POST /orders HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Content-Type: application/json\r\n";
    wire.send(format!("{head}{end}")).await;
    timeout(PATIENCE, wire.answer()).await.unwrap().unwrap().status
}
