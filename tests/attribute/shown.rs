//! Handlers see their decisions by the type of an argument, whatever it is called.

use std::convert::Infallible;

use axum::Router;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::routing::get;
use support::{limiter, local, send};
use tollgate::{RateLimit as Decisions, rate_limit};

mod renamed {
    pub(super) type Remaining = tollgate::RateLimit;
}

fn remaining(limit: &Decisions) -> String {
    limit.remaining().map_or("none".to_owned(), |remaining| remaining.to_string())
}

#[rate_limit(5, per = minute)]
async fn imported(limit: Decisions) -> String {
    remaining(&limit)
}

#[rate_limit(5, per = minute)]
async fn aliased(limit: renamed::Remaining) -> String {
    remaining(&limit)
}

#[rate_limit(5, per = minute)]
async fn in_a_result(limit: Result<Decisions, Infallible>) -> String {
    let Ok(limit) = limit;
    remaining(&limit)
}

#[rate_limit(5, per = minute)]
async fn in_a_tuple((_, (limit, _)): (State<()>, (Decisions, ()))) -> String {
    remaining(&limit)
}

#[rate_limit(5, per = minute)]
async fn beside_a_generic<T: Send>(State(_): State<T>, limit: Decisions) -> String {
    remaining(&limit)
}

#[rate_limit(5, per = minute)]
async fn under_a_condition(#[cfg(test)] limit: Decisions, #[cfg(not(test))] _: Missing) -> String {
    remaining(&limit)
}

/// Another type of that name, which holds the decisions that it finds.
struct RateLimit(Decisions);

impl<S: Sync> FromRequestParts<S> for RateLimit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self(Decisions::from_request_parts(parts, state).await?))
    }
}

#[rate_limit(5, per = minute)]
async fn of_that_name(RateLimit(limit): RateLimit) -> String {
    remaining(&limit)
}

#[rate_limit(5, per = minute)]
async fn asked_for(RateLimit(limit): RateLimit, _: Decisions) -> String {
    remaining(&limit)
}

#[tokio::test]
async fn it_is_found_by_its_type() {
    let routes = Router::new()
        .route("/imported", get(imported))
        .route("/aliased", get(aliased))
        .route("/in-a-result", get(in_a_result))
        .route("/in-a-tuple", get(in_a_tuple))
        .route("/beside-a-generic", get(beside_a_generic::<()>))
        .route("/under-a-condition", get(under_a_condition))
        .route("/asked-for", get(asked_for))
        .route("/of-that-name", get(of_that_name));
    let app = local(routes, &limiter().0);
    for path in [
        "/imported",
        "/aliased",
        "/in-a-result",
        "/in-a-tuple",
        "/beside-a-generic",
        "/under-a-condition",
        "/asked-for",
    ] {
        let response = send(&app, support::get(path)).await;
        assert_eq!(support::text(response).await, "4", "{path}");
    }
    // The name alone does not say so.
    let response = send(&app, support::get("/of-that-name")).await;
    assert_eq!(support::text(response).await, "none");
}
