//! What an extractor rejects is the handler's response: the limit's header fields are on it, and
//! `refund_if` decides about it.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::any;
use axum::{Json, Router};
use serde::Deserialize;
use support::far::{FarStore, limiter_on};
use support::{header, limiter, local, send};
use tollgate::testing::ManualClock;
use tollgate::{Limiter, rate_limit};

#[derive(Deserialize)]
struct Item {
    id: u32,
}

/// Rejects requests without the header field `x-present`, from their parts alone.
struct Present;

impl<S: Sync> FromRequestParts<S> for Present {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.headers.contains_key("x-present").then_some(Self).ok_or(StatusCode::IM_A_TEAPOT)
    }
}

/// Rejects empty bodies, as a server that is at fault.
struct Body;

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = (StatusCode, &'static str);

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        match String::from_request(request, state).await {
            Ok(body) if !body.is_empty() => Ok(Self),
            _ => Err((StatusCode::BAD_GATEWAY, "no body")),
        }
    }
}

fn is_server_error(response: &Response) -> bool {
    response.status().is_server_error()
}

/// Handlers with each kind of extractor, whose limits have the given options.
macro_rules! handlers {
    ($($name:ident: [$($option:tt)*],)*) => {$(
        mod $name {
            use super::*;

            pub(super) fn routes() -> Router {
                Router::new()
                    .route("/path/{id}", any(path))
                    .route("/query", any(query))
                    .route("/json", any(json))
                    .route("/present", any(present))
                    .route("/body", any(body))
                    .route("/merged/{id}", any(merged))
                    .route("/method/{id}", any(Methods::method))
            }

            #[rate_limit(1, per = minute $($option)*)]
            async fn path(Path(id): Path<u32>) -> String {
                id.to_string()
            }

            #[rate_limit(1, per = minute $($option)*)]
            async fn query(_: Present, Query(item): Query<Item>) -> String {
                item.id.to_string()
            }

            #[rate_limit(1, per = minute $($option)*)]
            async fn json(_: Present, Json(item): Json<Item>) -> String {
                item.id.to_string()
            }

            #[rate_limit(1, per = minute $($option)*)]
            async fn present(_: Present, _body: String) {}

            #[rate_limit(1, per = minute $($option)*)]
            async fn body(_: Present, _: Body) {}

            /// Other attributes may process it, so that it is no inner function.
            #[rate_limit(1, per = minute $($option)*)]
            #[rustfmt::skip]
            async fn merged(_: Present, Path(id): Path<u32>) -> String {
                id.to_string()
            }

            struct Methods;

            #[rate_limit]
            impl Methods {
                #[rate_limit(1, per = minute $($option)*)]
                async fn method(_: Present, Path(id): Path<u32>) -> String {
                    id.to_string()
                }
            }
        }
    )*};
}

handlers! {
    plain: [],
    failure: [, refund_if = failure],
    success: [, refund_if = success],
    function: [, refund_if = self::is_server_error],
}

/// A path, a body, the response to them, and a path and a body that the same handler takes.
const REJECTED: [(&str, &str, u16, &str, &str); 10] = [
    ("/path/x", "", 400, "/path/7", ""),
    ("/query", "", 400, "/query?id=7", ""),
    ("/query?id=x", "", 400, "/query?id=7", ""),
    ("/json", "{", 400, "/json", r#"{"id":7}"#),
    ("/json", r#"{"id":-7}"#, 422, "/json", r#"{"id":7}"#),
    ("/present?absent", "", 418, "/present", ""),
    ("/body", "", 502, "/body", "some"),
    ("/merged/x", "", 400, "/merged/7", ""),
    ("/merged/7?absent", "", 418, "/merged/7", ""),
    ("/method/x", "", 400, "/method/7", ""),
];

/// Sends a request, and lets the time pass that a store takes.
async fn answer(app: &Router, clock: &ManualClock, path: &str, body: &'static str) -> Response {
    let mut request = support::post(path, "application/json", body);
    if !path.ends_with("absent") {
        request.headers_mut().insert("x-present", "yes".parse().unwrap());
    }
    let mut response = std::pin::pin!(send(app, request));
    loop {
        tokio::select! {
            biased;
            response = &mut response => return response,
            () = tokio::task::yield_now() => clock.advance(std::time::Duration::from_micros(10)),
        }
    }
}

/// Checks each rejection by `routes`, which refund it if `refunds` says so.
async fn check(
    routes: fn() -> Router,
    refunds: fn(u16) -> bool,
    store: fn() -> (Limiter, ManualClock),
) {
    for (rejected, body, expected, accepted, accepted_body) in REJECTED {
        let (limiter, clock) = store();
        let app = local(routes(), &limiter);
        let response = answer(&app, &clock, rejected, body).await;
        assert_eq!(response.status(), expected, "{rejected}");
        // A refund comes before the head, so the field tells what is left after it.
        let field = header(&response, "ratelimit").unwrap();
        let left = if refunds(expected) { ";r=1" } else { ";r=0;" };
        assert!(field.contains(left), "{rejected}: {field}");
        let next = answer(&app, &clock, accepted, accepted_body).await.status();
        let expected = if refunds(expected) { 200 } else { 429 };
        assert_eq!(next, expected, "{accepted} after {rejected}");
    }
}

fn far() -> (Limiter, ManualClock) {
    let store = FarStore::new();
    store.set_ways([30, 50]);
    let clock = store.clock.clone();
    (limiter_on(store, &clock).build(), clock)
}

#[tokio::test]
async fn rejections_are_charged_like_any_response() {
    for store in [limiter as fn() -> _, far] {
        check(plain::routes, |_| false, store).await;
        check(success::routes, |_| false, store).await;
    }
}

#[tokio::test]
async fn rejections_are_refunded_like_any_response() {
    for store in [limiter as fn() -> _, far] {
        check(failure::routes, |_| true, store).await;
        check(function::routes, |status| status >= 500, store).await;
    }
}
