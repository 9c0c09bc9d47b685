//! Subjects by name: what a program names is what handlers and layers count, whatever the limiter's
//! settings are.

use std::net::IpAddr;

use axum::body::Body;
use axum::http::Request;
use axum::http::request::Parts;
use proptest::test_runner::{Config, TestRunner};
use support::scaled;
use tollgate::http::{KeyError, OnMissingKey};
use tollgate::{HttpOptions, Key, Limiter, MemoryBackend, Policy, Quota, Subject};

use crate::by_name_cases::{cases, kind_count};

#[test]
fn it_is_what_requests_are_counted_by() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for kind in 0..kind_count() {
        let config = Config { cases: scaled(60, 2_000), ..Config::default() };
        let tested = TestRunner::new(config).run(&cases(kind), |case| {
            runtime.block_on(case.is_named(Limiter::builder(MemoryBackend::new())));
            runtime.block_on(case.is_overridden(Limiter::builder(MemoryBackend::new())));
            Ok(())
        });
        tested.unwrap();
    }
}

fn request() -> Parts {
    let request = Request::get("/?q=1&q=2").header("x-key", "k").body(Body::empty()).unwrap();
    request.into_parts().0
}

/// The error is that of a limit: a request that would be refused has no subject.
#[tokio::test]
async fn a_request_without_a_key_says_what_it_lacks() {
    let by = |mode| {
        let http = HttpOptions::new().on_missing_key(mode);
        Limiter::builder(MemoryBackend::new()).http(http).build()
    };
    let parts = request();
    for (mode, expected) in [
        (OnMissingKey::Reject, Err(KeyError::NoHeader("x-none"))),
        (OnMissingKey::Exempt, Err(KeyError::NoHeader("x-none"))),
        (OnMissingKey::Shared, Ok("~missing".to_owned())),
    ] {
        let limiter = by(mode);
        let subject = limiter.scope(Key::header("x-none").subject(&parts)).await;
        assert_eq!(subject.map(|subject| subject.to_string()), expected, "{mode:?}");
        // What cannot be used is no excuse.
        let repeated = limiter.scope(Key::query("q").subject(&parts)).await;
        assert_eq!(repeated.unwrap_err(), KeyError::RepeatedQuery("q"));
        let address = limiter.scope(Key::ip().subject(&parts)).await;
        assert_eq!(address.unwrap_err(), KeyError::NoConnectInfo);
    }
    // The request's own limiter comes first.
    let mut parts = request();
    let peppered = HttpOptions::new().pepper("0123456789abcdef").unwrap();
    let limiter = Limiter::builder(MemoryBackend::new()).http(peppered).build();
    parts.extensions.insert(limiter.clone());
    let subject = by(OnMissingKey::Reject).scope(Key::header("x-key").subject(&parts)).await;
    assert_eq!(subject.unwrap().as_str(), limiter.subject_text(Subject::header("x-key", "k")));
}

/// Text, subjects and names are what all methods take.
#[tokio::test]
async fn every_method_takes_a_name() {
    let limiter = Limiter::new(MemoryBackend::new());
    let policy = Policy::new("p", Quota::per_hour(100));
    let address: IpAddr = "2001:db8::1".parse().unwrap();
    let name = Subject::ip(address);
    let wait = std::time::Duration::ZERO;
    let _ = limiter.check(&policy, &name).await.unwrap();
    let _ = limiter.check_cost(&policy, name.clone(), 2).await.unwrap();
    let _ = limiter.check_now(&policy, "2001:db8:0:0/64", 3).unwrap().unwrap();
    let _ = limiter.wait(&policy, &String::from("2001:db8:0:0/64"), 4, wait).await.unwrap();
    let decision = limiter.check(&policy, Subject::from("2001:db8:0:0/64")).await.unwrap();
    assert_eq!(decision.remaining(), 89);
    limiter.reset(&policy, name.clone()).await.unwrap();
    assert_eq!(limiter.peek(&policy, &name, 0).await.unwrap().remaining(), 100);
    assert_eq!(format!("{:?}", Subject::header("x", "s3cr3t")), "NamedSubject { .. }");
}
