//! What is logged of a check.

use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::routing::get;
use tollgate::backend::{Action, Answer, Operation};
use tollgate::testing::ManualClock;
use tollgate::{
    Backend, BackendError, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer, RateLimited,
    rate_limit, testing,
};
use tracing::Level;

use support::log::Log;
use support::{FailingBackend, limiter, local, status};

const HOUR: Duration = Duration::from_secs(3_600);

#[rate_limit(1, per = hour, key = header("x-api-key"), name = "keyed")]
async fn keyed() {}

#[tokio::test]
async fn refusals_are_logged_and_credentials_are_not() {
    for (level, lines) in [(Level::DEBUG, 2), (Level::INFO, 0)] {
        let (log, _listening) = Log::of_this_thread(level);
        let (limiter, _clock) = limiter();
        let router = local(Router::new().route("/", get(keyed)), &limiter);
        for _ in 0..3 {
            let request = Request::get("/").header("x-api-key", "s3cret-t0ken");
            let _ = status(&router, request.body(axum::body::Body::empty()).unwrap()).await;
        }
        let text = log.text();
        let told = text.lines().filter(|line| line.contains("outcome=\"refused\""));
        let told: Vec<_> = told.collect();
        assert_eq!(told.len(), lines, "{text}");
        for line in told {
            for part in ["policy=\"keyed\"", "source=\"store\"", "retry_after=3600", "subject="] {
                assert!(line.contains(part), "{line}");
            }
        }
        assert!(!text.contains("s3cret"), "{text}");
    }
}

/// What a shadow limit would have refused is for who watches it, and so not at `debug`.
#[tokio::test]
async fn what_a_shadow_limit_would_refuse_is_logged() {
    let (log, _listening) = Log::of_this_thread(Level::INFO);
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let limiter = Limiter::builder(backend).clock(clock.clone()).build();
    let router = |name| {
        let layer = RateLimitLayer::new(Policy::new(name, Quota::new(1, 24 * HOUR))).shadow();
        local(Router::new().route("/", get(|| async {})).layer(layer), &limiter)
    };
    for router in [router("p"), router("q")] {
        for _ in 0..201 {
            let _ = status(&router, support::get("/")).await;
        }
    }
    let told = |policy: &str| {
        let text = log.text();
        let told = text.lines().filter(|line| line.contains("a shadow limit would have refused"));
        told.filter(|line| line.contains(policy)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!([told("policy=\"p\"").len(), told("policy=\"q\"").len()], [1, 1]);
    // A minute later another one is logged, with the number of those that were not.
    clock.advance(Duration::from_secs(60));
    let _ = status(&router("p"), support::get("/")).await;
    let told = told("policy=\"p\"");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("not_told=0") && told[1].contains("not_told=199"), "{told:?}");
}

/// A store that is down, and says when it is asked.
struct Loud;

impl Backend for Loud {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        tracing::info!("asked");
        FailingBackend.apply(batch).await
    }
}

#[tokio::test]
async fn failures_are_logged_with_their_cause_and_the_store_is_asked_in_a_span() {
    let (log, _listening) = Log::of_this_thread(Level::DEBUG);
    let limiter = Limiter::new(Loud);
    let policy = Policy::new("p", Quota::new(1, HOUR));
    assert!(limiter.check(&policy, "s").await.is_err());
    let text = log.text();
    let told = text.lines().find(|line| line.contains("could not be checked")).unwrap();
    assert!(told.contains("policy=\"p\"") && told.contains("connection refused"), "{told}");
    let asked = text.lines().find(|line| line.ends_with("asked")).unwrap();
    assert!(asked.contains("rate_limit{policy=\"p\"}: "), "{asked}");
}

/// A store in memory that does not refund.
#[derive(Default)]
struct Final(MemoryBackend);

impl Final {
    fn fails(operation: &Operation<'_>) -> Option<BackendError> {
        let is_refund = matches!(operation.action, Action::Refund { .. });
        is_refund.then(|| BackendError::unknown("connection reset"))
    }
}

impl Backend for Final {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        batch.iter().map(|operation| self.apply_now(operation).unwrap()).collect()
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        match Self::fails(operation) {
            Some(error) => Some(Err(error)),
            None => self.0.apply_now(operation),
        }
    }
}

#[rate_limit(9, per = hour, name = "final_handler", key = global, refund_if = success)]
async fn handler() {}

#[rate_limit(9, per = hour, name = "final_function", key = args(), refund_if = success)]
async fn function() -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(9, per = hour, name = "final_sync_function", refund_if = success)]
fn sync_function() -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(9, per = hour, name = "final_stacked", key = args("first"))]
#[rate_limit(1, per = hour, name = "final_stacked_last", key = args("last"))]
async fn stacked() -> Result<(), RateLimited> {
    Ok(())
}

#[tokio::test]
async fn failed_refunds_are_logged() {
    let (log, _listening) = Log::of_this_thread(Level::DEBUG);
    let limiter = Limiter::builder(Final::default()).breaker(None).build();
    testing::scope(limiter.clone(), async {
        assert!(function().await.is_ok());
        assert!(sync_function().is_ok());
        assert!(stacked().await.is_ok());
        assert!(stacked().await.is_err());
    })
    .await;
    let router = local(Router::new().route("/", get(handler)), &limiter);
    assert!(status(&router, support::get("/")).await.is_success());
    support::far::settle().await;
    let text = log.text();
    for name in ["final_function", "final_sync_function", "final_stacked", "final_handler"] {
        let failed: Vec<_> = text
            .lines()
            .filter(|line| line.contains("a refund or settlement failed"))
            .filter(|line| line.contains(&format!("policy=\"{name}\"")))
            .collect();
        assert_eq!(failed.len(), 1, "{name}: {text}");
        assert!(failed[0].contains("DEBUG") && failed[0].contains("connection reset"), "{text}");
    }
}

/// A store that answers charges at once and has to be waited for by refunds.
#[derive(Default)]
struct SlowRefunds(Final);

impl Backend for SlowRefunds {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        self.0.apply(batch).await
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        if Final::fails(operation).is_some() { None } else { self.0.apply_now(operation) }
    }
}

#[tokio::test]
async fn refunds_that_a_function_cannot_wait_for_are_made_in_the_background() {
    let (log, _listening) = Log::of_this_thread(Level::DEBUG);
    let limiter = Limiter::new(SlowRefunds::default());
    limiter.scope(async { assert!(sync_function().is_ok()) }).await;
    assert!(!log.text().contains("a refund"), "{}", log.text());
    limiter.close().await;
    assert_eq!(limiter.stats().lost_refunds, 1);
    let text = log.text();
    let failed = text.lines().find(|line| line.contains("a refund or settlement failed")).unwrap();
    assert!(
        failed.contains("policy=\"final_sync_function\"") && failed.contains("connection reset"),
        "{text}"
    );
    let warned: Vec<_> =
        text.lines().filter(|line| line.contains("a refund or settlement is lost")).collect();
    assert!(warned.len() == 1 && warned[0].contains("WARN"), "{text}");
}
