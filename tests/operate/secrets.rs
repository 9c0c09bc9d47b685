//! Subjects that must not be read: hashes with a pepper, and all of them hashed. That no secret is
//! written anywhere is shown in `tests/alone/secrets.rs`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use support::{local, send};
use tollgate::http::HeaderStyle;
use tollgate::testing::scope;
use tollgate::{
    HttpOptions, Key, Limiter, LimiterBuilder, MemoryBackend, Policy, Quota, RateLimitLayer,
    RateLimited, rate_limit,
};

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

#[rate_limit(1, per = hour, name = "by name", key = args(who))]
async fn by_name(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

/// A limiter without anything of HTTP, which notes the subjects that it refuses.
fn noting(
    set: impl FnOnce(LimiterBuilder) -> LimiterBuilder,
) -> (Limiter, Arc<Mutex<Vec<String>>>) {
    let noted = Arc::<Mutex<Vec<String>>>::default();
    let into = Arc::clone(&noted);
    let builder = Limiter::builder(MemoryBackend::new()).on_blocked(move |blocked| {
        into.lock().unwrap().push(blocked.subject().to_owned());
    });
    (set(builder).build(), noted)
}

/// Programs without HTTP hide subjects, too; what the options of HTTP say comes first.
#[tokio::test]
async fn a_limiter_hides_its_subjects_without_http() {
    const PEPPER: &str = "0123456789abcdef";
    let http = |pepper: &str| HttpOptions::new().pepper(pepper).unwrap();
    let hides = |builder: LimiterBuilder| builder.hash_subjects(true);
    let mut found = Vec::new();
    for (limiter, noted) in [
        noting(|builder| builder),
        noting(hides),
        noting(|builder| hides(builder).pepper(PEPPER).unwrap()),
        noting(|builder| hides(builder).http(http(PEPPER))),
        noting(|builder| {
            hides(builder).pepper("another pepper, not that").unwrap().http(http(PEPPER))
        }),
        noting(|builder| hides(builder).http(HttpOptions::new().hash_subjects(false))),
    ] {
        let policy = Policy::new("p", Quota::new(1, Duration::from_secs(3_600)));
        for _ in 0..2 {
            let _ = limiter.check(&policy, "alice").await.unwrap();
            let _ = scope(limiter.clone(), by_name("alice")).await;
        }
        let noted = noted.lock().unwrap().clone();
        let [checked, called] = &noted[..] else { panic!("{noted:?}") };
        assert_eq!(checked, called, "one name is one subject");
        limiter.reset(&policy, "alice").await.unwrap();
        assert!(limiter.check(&policy, "alice").await.unwrap().is_allowed());
        found.push(checked.clone());
    }
    let [clear, hashed, peppered, by_http, both, not] = &found[..] else { unreachable!() };
    assert_eq!([clear.as_str(), not], ["alice"; 2]);
    assert!(hashed.len() == 32 && peppered.len() == 32 && hashed != peppered, "{found:?}");
    assert!(peppered == by_http && peppered == both, "{found:?}");
    let error = Limiter::builder(MemoryBackend::new()).pepper("short").unwrap_err();
    assert!(error.to_string().contains("at least 16 bytes"), "{error}");
}
