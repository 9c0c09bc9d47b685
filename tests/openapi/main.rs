//! Responses of limits in OpenAPI documents: the document of the example is valid, and says what the
//! service answers.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::{Request, Response};
use openapi::{app, document};
use roas::validation::{Options, Validate as _};
use serde_json::{Value, json};
use support::{FailingBackend, json, limiter, local, send};
use tollgate::http::Problem;
use tollgate::{Limiter, MemoryBackend, Override, Overrides};
use utoipa::ToSchema as _;

/// The statuses that limits answer.
const STATUSES: [&str; 5] = ["400", "403", "413", "429", "503"];

fn told() -> Value {
    serde_json::to_value(document()).unwrap()
}

/// The response that the document tells of a path.
fn told_response<'a>(document: &'a Value, method: &str, status: u16) -> &'a Value {
    &document["paths"]["/orders"][method]["responses"][status.to_string()]
}

#[tokio::test]
async fn the_served_document_is_valid() {
    let (limiter, _clock) = limiter();
    let served = send(&local(app(), &limiter), support::get("/openapi.json")).await;
    let served = json(served).await;
    assert_eq!(served, told());
    let document: roas::v3_1::spec::Spec = serde_json::from_value(served.clone()).unwrap();
    document.validate(Options::new(), None).unwrap();
    // The validator finds mistakes of this kind.
    let mut broken = served;
    broken["paths"]["/orders"]["get"]["responses"]["429"]
        .as_object_mut()
        .unwrap()
        .insert("description".to_owned(), json!(""));
    let broken: roas::v3_1::spec::Spec = serde_json::from_value(broken).unwrap();
    broken.validate(Options::new(), None).unwrap_err();
}

/// Each path tells the responses that it names, and no other.
#[test]
fn the_document_tells_the_named_responses() {
    let document = told();
    for (method, success, statuses) in
        [("get", "200", &STATUSES[..]), ("post", "204", &STATUSES[1..])]
    {
        let responses = document["paths"]["/orders"][method]["responses"].as_object().unwrap();
        let told: BTreeSet<&str> = responses.keys().map(String::as_str).collect();
        let expected = statuses.iter().copied().chain([success]).collect();
        assert_eq!(told, expected, "{method}");
    }
}

fn list(key: Option<&str>) -> Request<Body> {
    let request = Request::get("/orders");
    let request = match key {
        Some(key) => request.header("x-api-key", key),
        None => request,
    };
    request.body(Body::empty()).unwrap()
}

fn import(length: usize) -> Request<Body> {
    let request = Request::post("/orders").header("content-length", length);
    request.body(Body::from(vec![b'x'; length])).unwrap()
}

/// A refusal of each status by the running service.
async fn refusals() -> Vec<(&'static str, Response<Body>)> {
    let (limiter, _clock) = limiter();
    let router = local(app(), &limiter);
    let mut found = vec![
        ("get", send(&router, list(None)).await),
        ("post", send(&router, import(200 * 1024)).await),
    ];
    for _ in 0..5 {
        assert_eq!(send(&router, list(Some("me"))).await.status(), 200);
    }
    found.push(("get", send(&router, list(Some("me"))).await));
    assert_eq!(send(&router, import(100 * 1024)).await.status(), 204);
    found.push(("post", send(&router, import(1)).await));

    let blocked = Limiter::new(MemoryBackend::new());
    let block = || Override::new().block(true);
    blocked
        .set_overrides(Overrides::new().with("orders", block()).with("import", block()))
        .unwrap();
    let failing = Limiter::builder(FailingBackend).breaker(None).build();
    for limiter in [blocked, failing] {
        let router = local(app(), &limiter);
        found.push(("get", send(&router, list(Some("me"))).await));
        found.push(("post", send(&router, import(1)).await));
    }
    found
}

/// Each refusal of the service is one that the document tells: its media type, its header fields and its
/// body.
#[tokio::test]
async fn what_the_service_answers_is_as_told() {
    let document = told();
    let mut seen = BTreeMap::new();
    for (method, refused) in refusals().await {
        let status = refused.status().as_u16();
        let response = told_response(&document, method, status);
        assert!(response.is_object(), "{method} {status} is not told");
        seen.insert(status.to_string(), ());

        let media_type = refused.headers()["content-type"].to_str().unwrap().to_owned();
        let schema = &response["content"][&media_type]["schema"];
        let told = response["headers"].as_object().unwrap();
        for (name, value) in refused.headers() {
            let name = name.as_str();
            if ["content-type", "content-length", "cache-control"].contains(&name) {
                continue;
            }
            let told = told.iter().find(|(told, _)| told.eq_ignore_ascii_case(name));
            let (_, header) =
                told.unwrap_or_else(|| panic!("{method} {status}: no {name} is told"));
            let text = value.to_str().unwrap();
            let value = text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number));
            let schema = jsonschema::validator_for(&header["schema"]).unwrap();
            assert!(schema.is_valid(&value), "{method} {status}: {name}: {value}");
        }
        for name in told.keys() {
            let name = name.to_lowercase();
            assert!(refused.headers().contains_key(&name), "{method} {status} has no {name}");
        }

        let body = json(refused).await;
        let own = jsonschema::validator_for(schema).unwrap();
        assert!(own.is_valid(&body), "{method} {status}: {body}: {:?}", own.validate(&body));
        let any = serde_json::to_value(<Problem as utoipa::PartialSchema>::schema()).unwrap();
        assert!(jsonschema::validator_for(&any).unwrap().is_valid(&body), "{body}");
        // The schema of another status does not fit.
        let other = told_response(&document, "get", if status == 429 { 503 } else { 429 });
        let other = &other["content"][&media_type]["schema"];
        assert!(!jsonschema::validator_for(other).unwrap().is_valid(&body), "{body}");
    }
    assert!(seen.keys().map(String::as_str).eq(STATUSES), "{seen:?}");
    assert_eq!(Problem::name(), "Problem");
}
