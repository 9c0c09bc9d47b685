//! Quotas that a function finds for each request, such as those of the customers' plans: by attribute
//! and by layer, by plain and by async functions.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use proptest::prelude::*;
use support::log::Log;
use support::redis::RedisServer;
use support::{FailingBackend, header, local, send, status};
use tollgate::testing::ManualClock;
use tollgate::{
    Key, Limiter, MemoryBackend, OnError, Override, Overrides, PerSubject, Policy, Quota,
    RateLimitLayer, RedisBackend, rate_limit,
};
use tracing::Level;

const MINUTE: Duration = Duration::from_secs(60);
const ORDERS: Policy = Policy::new("plans", Quota::per_minute(2));

/// The plan that a request names: a number of requests in a minute, `none`, `out`, or `lost` for one
/// that cannot be found.
fn plan(parts: &Parts) -> Result<Option<Quota>, String> {
    match parts.headers.get("x-plan").map(|plan| plan.to_str().unwrap()) {
        None | Some("none") => Ok(None),
        Some("out") => Ok(Some(Quota::BLOCKED)),
        Some("lost") => Err("the plans are away".to_owned()),
        Some(number) => Ok(Some(Quota::per_minute(number.parse().unwrap()))),
    }
}

async fn awaited(parts: &Parts) -> Result<Option<Quota>, String> {
    tokio::task::yield_now().await;
    plan(parts)
}

fn certain(parts: &Parts) -> Option<Quota> {
    plan(parts).unwrap()
}

async fn certain_awaited(parts: &Parts) -> Option<Quota> {
    tokio::task::yield_now().await;
    plan(parts).unwrap()
}

/// A request of a customer by a plan.
fn request(customer: &str, plan: &str) -> Request<Body> {
    let request = Request::get("/").header("x-key", customer).header("x-plan", plan);
    request.body(Body::empty()).unwrap()
}

macro_rules! routers {
    ($($options:tt)*) => {{
        #[rate_limit(2, per = minute, key = header("x-key"), quota = plan, group = "plans" $($options)*)]
        async fn plain() {}
        #[rate_limit(2, per = minute, key = header("x-key"), quota = awaited, group = "plans" $($options)*)]
        async fn later() {}
        [Router::new().route("/", get(plain)), Router::new().route("/", get(later))]
    }};
}

fn layers(policy: &Policy) -> [Router; 2] {
    let layer = || RateLimitLayer::new(policy.clone()).key(Key::header("x-key"));
    let router = || Router::new().route("/", get(async || ()));
    [router().layer(layer().quota(plan)), router().layer(layer().quota(awaited))]
}

fn all_routers() -> Vec<Router> {
    let by_attribute = routers!();
    by_attribute.into_iter().chain(layers(&ORDERS)).collect()
}

fn limiter() -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    (Limiter::builder(backend).clock(clock.clone()).declare(ORDERS).build(), clock)
}

/// How many of so many requests are admitted.
async fn admitted(router: &Router, customer: &str, plan: &str, tries: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..tries {
        let status = status(router, request(customer, plan)).await;
        admitted += u32::from(status == StatusCode::OK);
    }
    admitted
}

#[tokio::test]
async fn each_customer_has_the_quota_of_the_plan() {
    for router in all_routers() {
        let (limiter, clock) = limiter();
        let router = local(router, &limiter);
        assert_eq!(admitted(&router, "free", "none", 9).await, 2);
        assert_eq!(admitted(&router, "small", "1", 9).await, 1);
        assert_eq!(admitted(&router, "large", "7", 9).await, 7);
        let response = send(&router, request("seen", "5")).await;
        let fields = ["ratelimit-policy", "ratelimit"].map(|name| header(&response, name).unwrap());
        assert!(fields[0].contains("q=5;w=60") && fields[1].contains("r=4"), "{fields:?}");
        let response = send(&router, request("out", "out")).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(header(&response, "retry-after"), None);

        // What was used is kept when the plan changes: up, down, and to none.
        assert_eq!(admitted(&router, "moves", "3", 9).await, 3);
        assert_eq!(admitted(&router, "moves", "5", 9).await, 2);
        assert_eq!(admitted(&router, "moves", "4", 9).await, 0);
        assert_eq!(admitted(&router, "moves", "out", 9).await, 0);
        assert_eq!(admitted(&router, "moves", "6", 9).await, 1);
        clock.advance(MINUTE);
        assert_eq!(admitted(&router, "moves", "none", 9).await, 2);
    }
}

/// Functions that cannot fail.
#[tokio::test]
async fn a_function_need_not_return_a_result() {
    #[rate_limit(2, per = minute, key = header("x-key"), quota = self::certain, group = "certain")]
    async fn plain() {}
    #[rate_limit(2, per = minute, key = header("x-key"), quota = certain_awaited, group = "certain")]
    async fn later() {}
    let layer = || RateLimitLayer::new(ORDERS).key(Key::header("x-key"));
    let router = || Router::new().route("/", get(async || ()));
    let closure = |parts: &Parts| certain(parts);
    for router in [
        Router::new().route("/", get(plain)),
        Router::new().route("/", get(later)),
        router().layer(layer().quota(certain)),
        router().layer(layer().quota(certain_awaited)),
        router().layer(layer().quota(closure)),
    ] {
        let (limiter, _clock) = limiter();
        let router = local(router, &limiter);
        assert_eq!(admitted(&router, "free", "none", 9).await, 2);
        assert_eq!(admitted(&router, "large", "7", 9).await, 7);
    }
}

#[tokio::test]
async fn a_plan_that_is_not_found_does_what_on_error_says() {
    let shadow = |router: Router| {
        let layer = RateLimitLayer::new(ORDERS).key(Key::header("x-key"));
        router.layer(layer.shadow().quota(plan))
    };
    let by_mode = |mode| layers(&ORDERS.on_error(mode));
    for (mode, routers) in [
        ("closed", routers!()),
        ("closed", routers!(, on_error = closed)),
        ("open", routers!(, skip_on_error)),
        ("open", routers!(, shadow)),
        ("closed", by_mode(OnError::Closed)),
        ("open", by_mode(OnError::Open)),
        ("local", by_mode(OnError::Local)),
        ("open", [0, 1].map(|_| shadow(Router::new().route("/", get(async || ()))))),
    ] {
        for router in routers {
            let (log, _guard) = Log::of_this_thread(Level::ERROR);
            let (limiter, _clock) = limiter();
            let router = local(router, &limiter);
            let first = status(&router, request("a", "lost")).await;
            let others = admitted(&router, "a", "lost", 9).await;
            let expected = match mode {
                "closed" => (StatusCode::SERVICE_UNAVAILABLE, 0),
                "open" => (StatusCode::OK, 9),
                // By the declared quota.
                _ => (StatusCode::OK, 1),
            };
            assert_eq!((first, others), expected, "{mode}");
            // It was no outage of the store.
            assert_eq!(admitted(&router, "b", "7", 7).await, 7, "{mode}");
            let text = log.text();
            assert!(text.contains("the function of `quota` failed"), "{mode}: {text}");
            assert!(text.contains("the plans are away"), "{mode}: {text}");
            assert!(!text.contains("backend fails"), "{mode}: {text}");
        }
    }
}

/// Beside a store that is away, `local` counts the plan's quota in this process.
#[tokio::test]
async fn a_store_that_is_away_does_what_on_error_says() {
    for router in layers(&ORDERS.on_error(OnError::Local)) {
        let limiter = Limiter::builder(FailingBackend).instances(1).build();
        let router = local(router, &limiter);
        assert_eq!(admitted(&router, "a", "4", 9).await, 4);
        assert_eq!(admitted(&router, "b", "lost", 9).await, 2);
        assert_eq!(admitted(&router, "c", "out", 9).await, 0);
    }
}

#[tokio::test]
async fn overrides_come_after_plans() {
    for router in all_routers() {
        let (limiter, _clock) = limiter();
        let router = local(router, &limiter);
        let set = |changes| limiter.set_overrides(Overrides::new().with("plans", changes)).unwrap();
        set(Override::new().limit(3));
        assert_eq!(admitted(&router, "a", "7", 9).await, 3);
        assert_eq!(admitted(&router, "b", "none", 9).await, 3);
        // A setting that is not given stays as the plan has it.
        set(Override::new().per(2 * MINUTE));
        assert_eq!(admitted(&router, "c", "7", 9).await, 7);
        set(Override::new().enabled(false));
        assert_eq!(admitted(&router, "d", "out", 9).await, 9);
        set(Override::new().shadow(true));
        assert_eq!(admitted(&router, "e", "1", 9).await, 9);
        set(Override::new().block(true));
        assert_eq!(admitted(&router, "f", "7", 9).await, 0);
    }
    // And those of a subject after both.
    let subjects = PerSubject::new(|policy, subject| {
        assert_eq!(policy.quotas().len(), 1);
        let limit = policy.quotas()[0].limit();
        (subject.len() == 32).then(|| Override::new().limit(limit + 1))
    });
    for router in all_routers() {
        let backend = MemoryBackend::new();
        let limiter = Limiter::builder(backend).per_subject(subjects.clone()).build();
        let router = local(router, &limiter);
        assert_eq!(admitted(&router, "a", "4", 9).await, 5);
        assert_eq!(admitted(&router, "a", "none", 9).await, 0);
    }
}

/// A plan that the limit cannot apply is told, and is no wider than it and the declared quota.
#[tokio::test]
async fn a_plan_that_cannot_be_applied_is_narrowed() {
    #[rate_limit(5, per = minute, key = header("x-key"), quota = with_burst, name = "with burst")]
    async fn handler() {}
    fn with_burst(parts: &Parts) -> Option<Quota> {
        Some(certain(parts)?.burst(3))
    }
    let (log, _guard) = Log::of_this_thread(Level::ERROR);
    let (limiter, _clock) = limiter();
    let router = local(Router::new().route("/", get(handler)), &limiter);
    assert_eq!(admitted(&router, "a", "9", 9).await, 3);
    let text = log.text();
    assert!(text.contains("has no bucket"), "{text}");
}

/// Limits on one key are one decision, in which each attribute has its own quota replaced.
#[tokio::test]
async fn each_attribute_of_a_stack_has_its_own() {
    fn by_hour(parts: &Parts) -> Option<Quota> {
        let number = parts.headers.get("x-hour")?.to_str().unwrap();
        Some(Quota::per_hour(number.parse().unwrap()))
    }
    #[rate_limit(3, per = minute, key = header("x-key"), quota = plan, name = "stack of plans")]
    #[rate_limit(50, per = second, key = header("x-key"))]
    #[rate_limit(4, per = hour, key = header("x-key"), quota = by_hour)]
    async fn handler() {}
    let (limiter, clock) = limiter();
    let router = local(Router::new().route("/", get(handler)), &limiter);
    let admitted = async |customer: &str, plan: &str, hour: &str| {
        let mut counts = [0; 2];
        for count in &mut counts {
            for _ in 0..9 {
                let mut request = request(customer, plan);
                if !hour.is_empty() {
                    request.headers_mut().insert("x-hour", hour.parse().unwrap());
                }
                *count += u32::from(status(&router, request).await == StatusCode::OK);
            }
            clock.advance(MINUTE);
        }
        counts
    };
    assert_eq!(admitted("a", "none", "").await, [3, 1]);
    assert_eq!(admitted("b", "2", "").await, [2, 2]);
    assert_eq!(admitted("c", "none", "5").await, [3, 2]);
    assert_eq!(admitted("d", "7", "8").await, [7, 1]);
}

/// The function is called once for a request that is counted, and not for others.
#[tokio::test]
async fn the_function_is_asked_once() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    fn counted(parts: &Parts) -> Option<Quota> {
        CALLS.fetch_add(1, Ordering::SeqCst);
        certain(parts)
    }
    fn is_exempt(parts: &Parts) -> bool {
        parts.headers["x-plan"] == "none"
    }
    #[rate_limit(5, per = minute, key = header("x-key"), exempt = is_exempt, quota = counted, name = "asked")]
    async fn handler() {}
    let (limiter, _clock) = limiter();
    let router = local(Router::new().route("/", get(handler)), &limiter);
    for (plan, calls) in [("none", 0), ("1", 1), ("1", 2), ("out", 3)] {
        send(&router, request("a", plan)).await;
        assert_eq!(CALLS.load(Ordering::SeqCst), calls, "{plan}");
    }
    let without_key = Request::get("/").header("x-plan", "1").body(Body::empty()).unwrap();
    assert_eq!(status(&router, without_key).await, StatusCode::BAD_REQUEST);
    assert_eq!(CALLS.load(Ordering::SeqCst), 3);
}

/// However often a customer changes plans, what was admitted in the last minute counts by the plan of
/// now: as a list of admissions says.
#[test]
fn every_change_of_plans_is_as_a_list_says() {
    let steps = prop::collection::vec((0_u32..=6, 0_u64..=25_000), 1..60);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    proptest!(support::reference::cases(40, 2_000), |(steps in steps, kind in 0_usize..4)| {
        runtime.block_on(async {
            let (limiter, clock) = limiter();
            let router = local(all_routers().remove(kind), &limiter);
            let (mut now, mut list) = (0, VecDeque::new());
            for (limit, pause) in &steps {
                clock.advance(Duration::from_millis(*pause));
                now += pause;
                while list.front().is_some_and(|at| now - at >= 60_000) {
                    list.pop_front();
                }
                let name = if *limit == 0 { "out".to_owned() } else { limit.to_string() };
                let is_admitted = status(&router, request("a", &name)).await == StatusCode::OK;
                prop_assert_eq!(is_admitted, list.len() < *limit as usize, "{} at {}", limit, now);
                if is_admitted {
                    list.push_back(now);
                }
            }
            Ok(())
        })?;
    });
}

/// Ten thousand customers, each with a quota of its own: each is held to it, and what the store and
/// the limiter keep is one key for each.
#[tokio::test]
async fn each_of_many_customers_has_a_form() {
    const CUSTOMERS: u32 = 10_000;
    let clock = ManualClock::new();
    let backend = std::sync::Arc::new(MemoryBackend::builder().clock(clock.clone()).build());
    let limiter = Limiter::builder(std::sync::Arc::clone(&backend)).clock(clock).build();
    let router = local(layers(&ORDERS).into_iter().next().unwrap(), &limiter);
    // Each asks twice before the next one does, and again when all have asked.
    for round in 0..2 {
        for customer in 0..CUSTOMERS {
            let (name, plan) = (customer.to_string(), (3 + customer).to_string());
            let response = send(&router, request(&name, &plan)).await;
            let left = format!("r={}", 2 + customer - round);
            assert!(header(&response, "ratelimit").unwrap().contains(&left), "{customer}");
        }
    }
    assert_eq!(backend.stats().keys, CUSTOMERS as usize);
    assert_eq!(backend.stats().overflowed, 0);
}

#[tokio::test]
async fn plans_change_on_redis_as_in_memory() {
    let server = RedisServer::start();
    for (index, router) in all_routers().into_iter().enumerate() {
        let prefix = format!("{index}:");
        let backend = RedisBackend::builder(&server.url()).key_prefix(&prefix);
        let backend = backend.deadline(MINUTE).build().unwrap();
        let router = local(router, &Limiter::new(backend));
        assert_eq!(admitted(&router, "moves", "3", 9).await, 3);
        assert_eq!(admitted(&router, "moves", "5", 9).await, 2);
        assert_eq!(admitted(&router, "moves", "4", 9).await, 0);
        assert_eq!(admitted(&router, "moves", "out", 9).await, 0);
        assert_eq!(admitted(&router, "moves", "7", 9).await, 2);
        assert_eq!(admitted(&router, "other", "none", 9).await, 2);
    }
}

/// A request waits by its own quota, and by the override of that.
#[tokio::test]
async fn whoever_waits_does_so_by_the_plan() {
    #[rate_limit(
        2, per = minute, key = header("x-key"), quota = awaited, wait = "10m", name = "plans in line"
    )]
    async fn handler() {}
    let layer = RateLimitLayer::new(Policy::new("plans in line", Quota::per_minute(2)));
    let layer = layer.key(Key::header("x-key")).wait(10 * MINUTE).quota(plan);
    for (router, has_override) in [
        (Router::new().route("/", get(handler)), false),
        (Router::new().route("/", get(async || ())).layer(layer), false),
        (Router::new().route("/", get(handler)), true),
    ] {
        let (limiter, clock) = limiter();
        if has_override {
            let overrides = Overrides::new().with("plans in line", Override::new().per(2 * MINUTE));
            limiter.set_overrides(overrides).unwrap();
        }
        let period = if has_override { 2 * MINUTE } else { MINUTE };
        let router = local(router, &limiter);
        assert_eq!(admitted(&router, "a", "4", 4).await, 4);
        let (router, fifth) = (router.clone(), request("a", "4"));
        let fifth = tokio::spawn(async move { send(&router, fifth).await.status() });
        let turns = async |count| {
            for _ in 0..count {
                tokio::task::yield_now().await;
            }
        };
        turns(50).await;
        clock.advance(period - Duration::from_micros(1));
        turns(50).await;
        assert!(!fifth.is_finished());
        clock.advance(Duration::from_micros(1));
        turns(50).await;
        assert!(fifth.is_finished());
        assert_eq!(fifth.await.unwrap(), StatusCode::OK);
    }
}
