//! What the options of the attribute do.

use axum::Router;
use axum::routing::get;
use support::{get as request, limiter, local, send};
use tollgate::rate_limit;

const TWO: u32 = 2;

#[rate_limit(in_flight = TWO, hold = "100ms")]
async fn two() -> &'static str {
    "a body"
}

#[rate_limit(3, per = minute, in_flight = 1, key = global, name = "all")]
#[rate_limit(in_flight = 2, name = "each")]
async fn both() -> &'static str {
    "a body"
}

/// Stacked on one key, it is one decision with the limit per period.
#[rate_limit(in_flight = 1, name = "stacked")]
#[rate_limit(3, per = minute)]
async fn stacked() -> &'static str {
    "a body"
}

/// What is refused charges nothing, and takes nothing of another limit.
#[tokio::test]
async fn so_many_at_a_time() {
    let routes = Router::new()
        .route("/two", get(two))
        .route("/both", get(both))
        .route("/stacked", get(stacked));
    let (limiter, _) = limiter();
    let app = local(routes, &limiter);
    let status = async |path: &str| send(&app, request(path)).await.status().as_u16();
    for (path, most) in
        [("/two", 2), ("/two", 2), ("/both", 1), ("/both", 1), ("/stacked", 1), ("/stacked", 1)]
    {
        let mut held = Vec::new();
        for _ in 0..most {
            held.push(send(&app, request(path)).await);
            assert_eq!(held.last().unwrap().status(), 200, "{path}");
        }
        for _ in 0..4 {
            assert_eq!(status(path).await, 429, "{path}");
        }
    }
    for path in ["/both", "/stacked"] {
        assert_eq!((status(path).await, status(path).await), (200, 429), "{path}");
    }
    assert_eq!(limiter.stats().in_flight, 0);
}
