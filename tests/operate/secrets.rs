//! Subjects that must not be read: hashes with a pepper, and all of them hashed. That no secret is
//! written anywhere is shown in `tests/alone/secrets.rs`.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use support::{local, send};
use tollgate::http::HeaderStyle;
use tollgate::{HttpOptions, Key, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer};

const SECRET: &str = "s3cr3t-7f3a";

/// Returns the subject of a request, as the store has it, with these options.
async fn subject(options: HttpOptions, key: Key) -> String {
    let mut subjects = support::subjects::Subjects::new(key, options);
    let request =
        Request::get("/?q=alice").header("x-api-key", SECRET).body(Body::empty()).unwrap();
    subjects.ask(request).await.1.unwrap()
}

#[tokio::test]
async fn a_pepper_changes_the_hashes_and_is_the_same_for_all_processes() {
    let peppered = |pepper: &str| HttpOptions::new().pepper(pepper).unwrap();
    let (one, other) = (peppered("0123456789abcdef"), peppered("0123456789abcdeg"));
    let key = || Key::header("x-api-key");
    let plain = subject(HttpOptions::new(), key()).await;
    let hashes = [subject(one.clone(), key()).await, subject(other, key()).await];
    assert!(hashes[0] != hashes[1] && !hashes.contains(&plain));
    assert_eq!(subject(one.clone(), key()).await, hashes[0]);
    assert!(format!("{one:?}").contains("pepper: true"), "{one:?}");
    let error = HttpOptions::new().pepper("short").unwrap_err().to_string();
    assert!(error.contains("at least 16 bytes") && !error.contains("short"), "{error}");
    // What is no credential stays as it is, unless all subjects are hashed.
    assert_eq!(subject(one.clone(), Key::query("q")).await, "alice");
    let hidden = subject(one.hash_subjects(true), Key::query("q")).await;
    assert!(hidden.len() == 32 && hidden != "alice", "{hidden}");
}

/// The program names a subject in clear, whatever the store has.
#[tokio::test]
async fn hidden_subjects_are_reset_by_their_names() {
    let http = HttpOptions::new().hash_subjects(true).headers(HeaderStyle::None);
    let limiter = Limiter::builder(MemoryBackend::new()).http(http).build();
    let policy = Policy::new("p", Quota::new(1, Duration::from_secs(3_600)));
    let layer = RateLimitLayer::new(policy.clone()).key(Key::query("q"));
    let router = local(Router::new().route("/", get(|| async {})).layer(layer), &limiter);
    let status = async || send(&router, support::get("/?q=alice")).await.status().as_u16();
    assert_eq!([status().await, status().await], [200, 429]);
    assert!(!limiter.peek(&policy, "alice", 1).await.unwrap().is_allowed());
    limiter.reset(&policy, "alice").await.unwrap();
    assert_eq!(status().await, 200);
}
