//! What a dashboard counts takes memory that does not grow with the policies and the subjects that
//! there are.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use support::scaled;
use tollgate::testing::ManualClock;
use tollgate::{Dashboard, Limiter, MemoryBackend, Policy, Quota};
use tower::ServiceExt as _;

fn bytes_held() -> usize {
    dhat::HeapStats::get().curr_bytes
}

/// Has one subject of each of `policies` refused, and as many subjects of one of them.
async fn flood(limiter: &Limiter, clock: &ManualClock, policies: std::ops::Range<u32>) {
    let quota = Quota::new(1, Duration::from_millis(1));
    for number in policies {
        let subject = format!("a subject that is too long to be kept in place: {number}");
        let one = Policy::named(format!("a policy that is made up as one goes: {number}"), quota);
        for policy in [one, Policy::named("one policy", quota)] {
            assert!(limiter.check(&policy, &subject).await.unwrap().is_allowed());
            assert!(!limiter.check(&policy, &subject).await.unwrap().is_allowed());
        }
        clock.advance(Duration::from_millis(2));
    }
}

#[tokio::test]
async fn it_stays_in_its_bounds() {
    if support::is_left_to_a_process_of_its_own(module_path!(), "it_stays_in_its_bounds") {
        return;
    }
    let _profiler = dhat::Profiler::builder().testing().build();
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).max_keys(1_000).build();
    let limiter = Limiter::builder(backend).clock(clock.clone()).build();
    let router = Dashboard::new(limiter.clone()).into_router();
    flood(&limiter, &clock, 0..3_000).await;
    let held = bytes_held();
    flood(&limiter, &clock, 3_000..scaled(40_000, 100_000)).await;
    let grown = bytes_held().saturating_sub(held);
    assert!(grown < 64 << 10, "it has grown by {grown} bytes");

    let request = Request::get("/?live").body(Body::empty()).unwrap();
    let page = to_bytes(router.oneshot(request).await.unwrap().into_body(), 4 << 20).await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
    // None of those that found no room is left out of the sum: at one each 2 ms, 500 each second.
    assert!(page.contains("allowed <b>1000</b>/s"), "{page}");
    assert!(page.contains("In the last minute: 60000 allowed, 60000 refused."), "{page}");
}
