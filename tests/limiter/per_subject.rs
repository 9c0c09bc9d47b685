//! Quotas of their own for some subjects: tiers, plans.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::get;
use support::{header, local, send};
use tollgate::testing::{ManualClock, scope};
use tollgate::{
    Algorithm, Key, Limiter, MemoryBackend, OnError, Override, Overrides, PerSubject, Policy,
    Quota, RateLimitLayer, RateLimited, Source, rate_limit,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

const LAYER: Policy = Policy::new("layer", Quota::new(3, HOUR));

fn plan(parts: &axum::http::request::Parts) -> String {
    parts.headers["x-plan"].to_str().unwrap().to_owned()
}

#[rate_limit(3, per = hour, name = "handler", key = self::plan)]
async fn handler() {}

#[rate_limit(3, per = hour, name = "function", key = args(who))]
async fn function(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

/// What each plan has. Others have what the policy says.
fn of_plan(subject: &str) -> Option<Override> {
    let changes = Override::new();
    match subject.split('-').next().unwrap_or_default() {
        "pro" => Some(changes.limit(7)),
        "burst" => Some(changes.algorithm(Algorithm::TokenBucket).burst(5)),
        "two" => Some(changes.quotas([Quota::new(2, MINUTE), Quota::new(4, HOUR)])),
        "staff" => Some(changes.enabled(false)),
        "beta" => Some(changes.shadow(true)),
        "wrong" => Some(changes.limit(0)),
        "lonely" => Some(changes.on_error(OnError::Open)),
        _ => None,
    }
}

/// A limiter that counts how often it asks for plans, and its clock.
fn limiter(max_keys: usize) -> (Limiter, ManualClock, Arc<AtomicU32>) {
    let (clock, asked) = (ManualClock::new(), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&asked);
    let plans = PerSubject::new(move |_, subject| {
        counted.fetch_add(1, Ordering::Relaxed);
        of_plan(subject)
    });
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let builder = Limiter::builder(backend).clock(clock.clone()).declare(LAYER);
    (builder.per_subject(plans.max_keys(max_keys)).build(), clock, asked)
}

async fn ask(app: &Router, path: &str, plan: &str) -> Response<Body> {
    send(app, Request::get(path).header("x-plan", plan).body(Body::empty()).unwrap()).await
}

fn app(limiter: &Limiter) -> Router {
    let layer = RateLimitLayer::new(LAYER).key(Key::function(|parts| Some(plan(parts))));
    let route = get(|| async {}).layer(layer);
    local(Router::new().route("/handler", get(handler)).route("/layer", route), limiter)
}

#[tokio::test]
async fn each_plan_has_its_own() {
    let (limiter, ..) = limiter(100);
    let app = app(&limiter);
    for (plan, expected) in [
        ("free", 3),
        ("pro", 7),
        ("burst", 5),
        ("two", 2),
        ("staff", 12),
        ("beta", 12),
        // Who is given nothing gets nothing.
        ("wrong", 0),
        ("lonely", 3),
    ] {
        let mut admitted = [0; 4];
        for _ in 0..12 {
            let passes = [
                ask(&app, "/handler", plan).await.status().is_success(),
                ask(&app, "/layer", plan).await.status().is_success(),
                scope(limiter.clone(), function(plan)).await.is_ok(),
                limiter.check(&LAYER, &format!("{plan}-direct")).await.unwrap().is_allowed(),
            ];
            admitted.iter_mut().zip(passes).for_each(|(count, passes)| *count += u32::from(passes));
        }
        // Who checks is told what was decided, in shadow, too.
        let direct = if plan == "beta" { 3 } else { expected };
        assert_eq!(admitted, [expected, expected, expected, direct], "{plan}");
    }
    let pro = ask(&app, "/handler", "pro-2").await;
    assert_eq!(header(&pro, "ratelimit-policy"), Some(r#""handler";q=7;w=3600"#));
    let free = ask(&app, "/handler", "free-2").await;
    assert_eq!(header(&free, "ratelimit-policy"), Some(r#""handler";q=3;w=3600"#));
    let staff = ask(&app, "/handler", "staff").await;
    assert_eq!(header(&staff, "ratelimit-policy"), None);
}

#[tokio::test]
async fn an_answer_is_remembered_for_a_while() {
    let (limiter, clock, asked) = limiter(100);
    let spend = async |subject: &str| {
        let mut admitted = 0;
        for _ in 0..10 {
            admitted += u32::from(limiter.check(&LAYER, subject).await.unwrap().is_allowed());
        }
        admitted
    };
    assert_eq!((spend("pro").await, asked.load(Ordering::Relaxed)), (7, 1));
    assert_eq!((spend("free").await, asked.load(Ordering::Relaxed)), (3, 2));
    clock.advance(MINUTE - SECOND);
    assert_eq!((spend("pro").await, asked.load(Ordering::Relaxed)), (0, 2));
    // Overrides that come and go do not make it last longer.
    limiter.set_overrides(Overrides::new().with("layer", Override::new().limit(9))).unwrap();
    assert_eq!((spend("pro").await, asked.load(Ordering::Relaxed)), (0, 2));
    clock.advance(SECOND);
    assert_eq!((spend("pro").await, asked.load(Ordering::Relaxed)), (0, 3));
    clock.set_micros(0);
    spend("pro").await;
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn of_a_bounded_number_of_subjects() {
    let (limiter, _clock, asked) = limiter(50);
    for subject in 0..1_000 {
        assert!(limiter.check(&LAYER, &format!("pro-{subject}")).await.unwrap().is_allowed());
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1_000);
    for subject in 0..1_000 {
        assert!(limiter.check(&LAYER, &format!("pro-{subject}")).await.unwrap().is_allowed());
    }
    assert!(asked.load(Ordering::Relaxed) >= 1_900, "{asked:?}");
}

/// What is said of a policy as a whole holds for all of whom nothing else is said.
#[tokio::test]
async fn overrides_hold_besides() {
    let (limiter, clock, _) = limiter(100);
    let remaining = async |subject: &str| {
        let decision = limiter.peek(&LAYER, subject, 1).await.unwrap();
        (decision.source() == Source::Store).then(|| decision.remaining())
    };
    assert_eq!((remaining("free").await, remaining("pro").await), (Some(3), Some(7)));
    let set = |changes| limiter.set_overrides(Overrides::new().with("layer", changes)).unwrap();
    set(Override::new().limit(5));
    assert_eq!((remaining("free").await, remaining("pro").await), (Some(5), Some(7)));
    set(Override::new().per(MINUTE));
    for _ in 0..7 {
        assert!(limiter.check(&LAYER, "pro").await.unwrap().is_allowed());
    }
    clock.advance(MINUTE);
    assert_eq!(remaining("pro").await, Some(7), "its period is the override's");
    set(Override::new().enabled(false));
    assert_eq!((remaining("free").await, remaining("pro").await), (None, None));
    limiter.set_overrides(Overrides::new()).unwrap();
    assert_eq!((remaining("free").await, remaining("staff").await), (Some(3), None));
}

/// Whoever changes to another plan keeps what was counted.
#[tokio::test]
async fn another_plan_keeps_the_count() {
    let clock = ManualClock::new();
    let limit = Arc::new(AtomicU32::new(3));
    let now = Arc::clone(&limit);
    let plans =
        PerSubject::new(move |_, _| Some(Override::new().limit(now.load(Ordering::Relaxed))));
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let limiter = Limiter::builder(backend).clock(clock.clone());
    let limiter = limiter.per_subject(plans.max_age(SECOND)).build();
    for (plan, expected) in [(3, 3), (10, 7), (4, 0), (12, 2)] {
        limit.store(plan, Ordering::Relaxed);
        clock.advance(SECOND);
        let mut admitted = 0;
        for _ in 0..20 {
            admitted += u32::from(limiter.check(&LAYER, "s").await.unwrap().is_allowed());
        }
        assert_eq!(admitted, expected, "{plan}");
    }
}
