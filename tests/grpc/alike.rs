//! Who is answered by gRPC: requests of gRPC and gRPC-Web, at layers, at handlers and behind both.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::post;
use support::{header, limiter, local, send, text};
use tollgate::{Policy, Quota, RateLimitLayer, rate_limit};

const LAYER: Policy = Policy::new("door", Quota::per_minute(1));

async fn unlimited() -> &'static str {
    "admitted"
}

#[rate_limit(1, per = 60, name = "door")]
async fn handler() -> &'static str {
    "admitted"
}

#[rate_limit(1, per = 60, name = "door", key = (args(body.len()), ip))]
async fn by_argument(body: String) -> String {
    body
}

/// A router for each way to limit a handler.
fn doors() -> [(&'static str, Router); 4] {
    let layered = |layer| Router::new().route("/", post(unlimited)).layer(layer);
    let open = Policy::new("open", Quota::per_second(100));
    [
        ("layer", layered(RateLimitLayer::new(LAYER))),
        ("handler", Router::new().route("/", post(handler))),
        ("argument", Router::new().route("/", post(by_argument))),
        (
            "handler behind a layer",
            Router::new().route("/", post(handler)).layer(RateLimitLayer::new(open)),
        ),
    ]
}

fn request(content_type: &str) -> Request<Body> {
    Request::post("/").header("content-type", content_type).body(Body::from("five!")).unwrap()
}

async fn refusal(router: Router, content_type: &str) -> Response<Body> {
    let (limiter, _clock) = limiter();
    let router = local(router, &limiter);
    assert_eq!(send(&router, request(content_type)).await.status(), 200);
    send(&router, request(content_type)).await
}

/// gRPC-Web reads the status in the header fields of a response without a body, as gRPC does, so both
/// have the same answer, of the content type that the client has sent.
#[tokio::test]
async fn every_door_answers_a_request_of_grpc_by_grpc() {
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
    ] {
        for (door, router) in doors() {
            let refused = refusal(router, content_type).await;
            let told = format!("{door}, {content_type}");
            assert_eq!(refused.status(), 200, "{told}");
            assert_eq!(header(&refused, "content-type"), Some(content_type), "{told}");
            assert_eq!(header(&refused, "grpc-status"), Some("8"), "{told}");
            let message = "Limit of 1 per 60s reached; retry in 60s.";
            assert_eq!(header(&refused, "grpc-message"), Some(message), "{told}");
            // Read with tonic-types elsewhere: a `google.rpc.Status` with a `RetryInfo` of 60 s.
            let details = header(&refused, "grpc-status-details-bin").unwrap();
            assert!(details.starts_with("CAgSKUxpbWl0IG9m"), "{told}: {details}");
            assert_eq!(header(&refused, "retry-after"), Some("60"), "{told}");
            assert_eq!(header(&refused, "cache-control"), Some("no-store"), "{told}");
            let item = header(&refused, "ratelimit").unwrap();
            assert!(item.starts_with(r#""door";r=0;t=60"#), "{told}: {item}");
            assert_eq!(text(refused).await, "", "{told}");
        }
    }
}

#[tokio::test]
async fn other_requests_are_answered_by_http() {
    for content_type in ["application/json", "application/proto", "application/grpc-other"] {
        for (door, router) in doors() {
            let refused = refusal(router, content_type).await;
            assert_eq!(refused.status(), 429, "{door}, {content_type}");
            assert_eq!(header(&refused, "grpc-status"), None, "{door}, {content_type}");
            let body = header(&refused, "content-type");
            assert_eq!(body, Some("application/problem+json"), "{door}, {content_type}");
        }
    }
}
