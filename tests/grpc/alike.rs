//! Who is answered by gRPC: requests of gRPC and gRPC-Web, at layers, at handlers and behind both.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::routing::post;
use support::{header, limiter, local, send, text};
use tollgate::{Key, Policy, Quota, RateLimitLayer, rate_limit};

use crate::service::Echo;

const LAYER: Policy = Policy::new("door", Quota::per_minute(1));

async fn unlimited() -> &'static str {
    "admitted"
}

#[rate_limit(1, per = 60, group = "door")]
async fn handler() -> &'static str {
    "admitted"
}

#[rate_limit(1, per = 60, group = "door", key = (args(body.len()), ip))]
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

/// tonic's translator of gRPC-Web stands in front of the limit, where the limit sees gRPC, or behind it.
/// A client reads the same.
#[tokio::test]
async fn the_translator_of_grpc_web_makes_no_difference() {
    use tonic_web::GrpcWebLayer;
    use tower::{Layer as _, ServiceExt as _};

    type Body = tonic::body::Body;

    let request = || {
        let request = Request::post("http://localhost/test.Echo/Unary");
        let request = request.header("content-type", "application/grpc-web+proto");
        // A message of five bytes, not compressed.
        request.body(Body::new(axum::body::Body::from(&b"\0\0\0\0\x05hello"[..]))).unwrap()
    };
    let (limiter, _clock) = limiter();
    let limit = |name| {
        let layer = RateLimitLayer::new(Policy::new(name, Quota::per_minute(1)));
        layer.key(Key::global()).limiter(limiter.clone())
    };
    let in_front = GrpcWebLayer::new().layer(limit("in front").layer(Echo));
    let behind = limit("behind").layer(GrpcWebLayer::new().layer(Echo));
    let mut told = Vec::new();
    for _ in 0..2 {
        let in_front = in_front.clone().oneshot(request()).await.unwrap();
        let behind = behind.clone().oneshot(request()).await.unwrap();
        let field = |headers: &HeaderMap, name: &str| headers.get(name).cloned();
        for headers in [in_front.headers(), behind.headers()] {
            assert_eq!(headers["content-type"], "application/grpc-web+proto");
            let names = ["grpc-status", "grpc-message", "grpc-status-details-bin", "retry-after"];
            told.push(names.map(|name| field(headers, name)));
        }
        assert_eq!((in_front.status(), behind.status()), (StatusCode::OK, StatusCode::OK));
    }
    assert!(told[..2].iter().flatten().all(Option::is_none), "{told:?}");
    assert_eq!(told[2][0].as_ref().unwrap(), "8");
    assert!(told[2].iter().all(Option::is_some), "{told:?}");
    assert_eq!(told[2], told[3]);
}
