//! A subject that the store blocks: nothing of it passes, whatever it costs, over HTTP and in
//! functions, and it is not told to come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::http::StatusCode;
use axum::routing::get;
use support::exporter::Exporter;
use support::local;
use tollgate::backend::{Answer, Operation, Verdict};
use tollgate::http::{Reason, Refusal};
use tollgate::testing::{ManualClock, scope};
use tollgate::{
    Backend, BackendError, Key, Limiter, LimiterBuilder, LocalTier, Metrics, Outcome, Policy,
    Quota, RateLimitLayer, RateLimited, Source, rate_limit,
};

/// Blocks everybody while `blocks` is set, and admits them otherwise.
#[derive(Default)]
struct Guarded {
    answers_at_once: bool,
    blocks: AtomicBool,
    calls: AtomicU64,
}

impl Guarded {
    fn new(answers_at_once: bool) -> Arc<Self> {
        Arc::new(Self { answers_at_once, blocks: AtomicBool::new(true), ..Self::default() })
    }

    fn answer(&self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        assert!(operation.check.cost > 0);
        let blocks = self.blocks.load(Ordering::SeqCst);
        let outcome = if blocks { Outcome::Blocked } else { Outcome::Allowed };
        Ok(Answer::Verdict(Verdict::new(outcome, 7)))
    }
}

impl Backend for Guarded {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        batch.iter().map(|operation| self.answer(operation)).collect()
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        self.answers_at_once.then(|| self.answer(operation))
    }
}

fn policy() -> Policy {
    Policy::new("guarded", Quota::new(10, Duration::from_secs(60)))
}

/// Other tests of this program have limits with `on_error = local`.
fn builder(store: Arc<Guarded>) -> LimiterBuilder {
    Limiter::builder(store).instances(1)
}

#[tokio::test]
async fn nothing_passes_whatever_it_costs() {
    for answers_at_once in [true, false] {
        let limiter = builder(Guarded::new(answers_at_once)).clock(ManualClock::new()).build();
        for cost in [1, 10, 11] {
            let decision = limiter.check_cost(&policy(), "s", cost).await.unwrap();
            assert_eq!((decision.outcome(), decision.is_allowed()), (Outcome::Blocked, false));
            assert_eq!((decision.retry_after(), decision.remaining()), (None, 0));
            let peeked = limiter.peek(&policy(), "s", cost).await.unwrap();
            assert_eq!(peeked.outcome(), Outcome::Blocked);
            // Waiting does not help, so nothing is waited for.
            let waited = limiter.wait(&policy(), "s", cost, Duration::from_secs(3_600)).await;
            assert_eq!(waited.unwrap().outcome(), Outcome::Blocked);
        }
    }
    assert_eq!(Outcome::Blocked.to_string(), "blocked");
}

fn seen(refusal: &Refusal<'_>) -> String {
    format!("{:?} {}", matches!(refusal.reason(), Reason::Blocked(_)), refusal.decision().is_some())
}

#[rate_limit(10, per = minute, key = global, name = "blocked handler")]
async fn handler() -> &'static str {
    "in"
}

#[rate_limit(10, per = minute, key = global, refusal = self::seen, name = "own refusal")]
async fn own() -> &'static str {
    "in"
}

#[rate_limit(10, per = minute, key = global, shadow, name = "blocked in shadow")]
async fn shadowed() -> &'static str {
    "in"
}

#[tokio::test]
async fn http_answers_403_without_a_time_to_retry() {
    let limiter = builder(Guarded::new(true)).build();
    let layer = RateLimitLayer::new(policy()).key(Key::global());
    let app = Router::new()
        .route("/layer", get(async || "in").layer(layer))
        .route("/handler", get(handler))
        .route("/own", get(own))
        .route("/shadow", get(shadowed));
    let app = local(app, &limiter);
    for path in ["/layer", "/handler"] {
        let response = support::send(&app, support::get(path)).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert!(!response.headers().contains_key("retry-after"));
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = to_bytes(response.into_body(), 1_000).await.unwrap();
        let problem = r#"{"type":"urn:problem-type:tollgate:blocked","title":"Request cannot be satisfied as its client is blocked","status":403,"detail":"This client is blocked."}"#;
        assert_eq!(body, problem);
    }
    let response = support::send(&app, support::get("/own")).await;
    assert_eq!(to_bytes(response.into_body(), 100).await.unwrap(), "true true");
    let response = support::send(&app, support::get("/shadow")).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[rate_limit(10, per = minute, name = "blocked function")]
fn function() -> Result<(), RateLimited> {
    Ok(())
}

#[tokio::test]
async fn functions_are_not_called() {
    use axum::response::IntoResponse as _;

    let limited =
        scope(builder(Guarded::new(true)).build(), async { function() }).await.unwrap_err();
    assert_eq!(limited.retry_after(), None);
    assert_eq!(limited.decision().unwrap().outcome(), Outcome::Blocked);
    let text = "the subject of this call is blocked for the limit `blocked function`";
    assert_eq!(limited.to_string(), text);
    assert_eq!(limited.into_response().status(), StatusCode::FORBIDDEN);
}

/// The refusal of a blocked subject is remembered like any other, for at most `max_age`.
#[tokio::test]
async fn the_deny_cache_forgets_it_like_any_refusal() {
    let (store, clock) = (Guarded::new(false), ManualClock::new());
    let max_age = Duration::from_secs(1);
    let limiter = builder(Arc::clone(&store))
        .clock(clock.clone())
        .local_tier(LocalTier::deny_cache().max_age(max_age))
        .build();
    let check = async |cost| {
        let decision = limiter.check_cost(&policy(), "s", cost).await.unwrap();
        (decision.outcome(), decision.source(), decision.retry_after())
    };
    assert_eq!(check(2).await, (Outcome::Blocked, Source::Store, None));
    clock.advance(max_age - Duration::from_micros(1));
    for cost in [2, 10, 11] {
        assert_eq!(check(cost).await, (Outcome::Blocked, Source::DenyCache, None));
    }
    assert_eq!(store.calls.load(Ordering::SeqCst), 1);
    store.blocks.store(false, Ordering::SeqCst);
    clock.advance(Duration::from_micros(1));
    assert_eq!(check(2).await, (Outcome::Allowed, Source::Store, None));
}

#[tokio::test]
async fn metrics_count_it_by_itself() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let limiter = builder(Guarded::new(true)).metrics(Metrics::new()).build();
    assert!(!limiter.check(&policy(), "s").await.unwrap().is_allowed());
    let count = |outcome| {
        let labels = [("policy", "guarded"), ("outcome", outcome), ("source", "store")];
        exporter.value("tollgate_decisions_total", &labels)
    };
    assert_eq!((count("blocked"), count("refused"), count("never")), (Some(1.0), None, None));
}
