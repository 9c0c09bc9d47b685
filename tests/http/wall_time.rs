//! `X-RateLimit-Reset` as Unix time: it is the wall time of when the field is written, though
//! decisions are made by a clock that does not jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use support::{FailingBackend, header};
use tollgate::backend::{Answer, Operation, Verdict};
use tollgate::http::{HeaderStyle, LegacyReset};
use tollgate::testing::{Client, ManualClock};
use tollgate::{
    Backend, BackendError, Clock, HttpOptions, Limiter, LimiterBuilder, MemoryBackend, OnError,
    Outcome, Policy, Quota, QuotaState, RateLimitLayer,
};

const SECOND: Duration = Duration::from_secs(1);
/// The second at which a manual clock starts.
const START: i64 = 1_767_268_800;

/// A clock whose wall time is ahead of its time by a number of seconds.
#[derive(Clone, Default)]
struct Drifting {
    clock: ManualClock,
    ahead: Arc<AtomicI64>,
}

impl Clock for Drifting {
    fn now_micros(&self) -> u64 {
        self.clock.now_micros()
    }

    fn wall_micros(&self) -> u64 {
        let ahead = self.ahead.load(Ordering::Relaxed) * 1_000_000;
        self.now_micros().saturating_add_signed(ahead)
    }
}

/// A backend with a clock of its own, which stands at the second 1,000.
struct Elsewhere;

impl Backend for Elsewhere {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        let answer = |_: &Operation<'_>| {
            let mut verdict = Verdict::new(Outcome::Allowed, 1_000_000_000);
            verdict.push(QuotaState::new(false, 1, 60 * SECOND, 60 * SECOND));
            Ok(Answer::Verdict(verdict))
        };
        batch.iter().map(answer).collect()
    }
}

fn http(reset: LegacyReset) -> HttpOptions {
    HttpOptions::new().headers(HeaderStyle::Legacy).legacy_reset(reset)
}

/// `X-RateLimit-Reset` of responses to requests of new clients, at each of these drifts.
async fn resets(builder: LimiterBuilder, clock: &Drifting, drifts: &[i64]) -> Vec<i64> {
    let policy = Policy::new("p", Quota::new(2, 60 * SECOND)).on_error(OnError::Local);
    let layer = RateLimitLayer::new(policy);
    let app = Router::new().route("/", get(|| async {})).layer(layer);
    let client = Client::new(app, &builder.clock(clock.clone()).instances(1).build());
    let mut resets = Vec::new();
    for (number, drift) in drifts.iter().enumerate() {
        clock.ahead.store(*drift, Ordering::Relaxed);
        let response = client.from([192, 0, 2, number as u8]).get("/").await;
        assert_eq!(response.status(), 200);
        resets.push(header(&response, "x-ratelimit-reset").unwrap().parse().unwrap());
    }
    resets
}

#[tokio::test]
async fn is_that_of_the_wall_clock_when_it_is_written() {
    let drifts = [0, 3_600, -3_600, 1, -START, i64::MAX / 1_000_000];
    let clock = Drifting::default();
    let memory = || Limiter::builder(MemoryBackend::builder().clock(clock.clone()).build());
    let expected = [
        START + 60,
        START + 3_660,
        START - 3_540,
        START + 61,
        60,
        START + 60 + i64::MAX / 1_000_000,
    ];
    let epoch = http(LegacyReset::Epoch);
    assert_eq!(resets(memory().http(epoch.clone()), &clock, &drifts).await, expected);
    // The fallback of a backend that fails decides by the limiter's clock, too.
    let failing = Limiter::builder(FailingBackend).http(epoch.clone());
    assert_eq!(resets(failing, &clock, &drifts).await, expected);
    // A backend elsewhere knows the wall time itself.
    let elsewhere = Limiter::builder(Elsewhere).http(epoch);
    assert_eq!(resets(elsewhere, &clock, &drifts).await, [1_060; 6]);
    let delta = http(LegacyReset::Delta);
    assert_eq!(resets(memory().http(delta), &clock, &drifts).await, [60; 6]);
}

/// A refusal tells it as well.
#[tokio::test]
async fn refusals_follow_the_wall_clock() {
    let clock = Drifting::default();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let limiter = Limiter::builder(backend).clock(clock.clone());
    let limiter = limiter.http(http(LegacyReset::Epoch)).build();
    let layer = RateLimitLayer::new(Policy::new("p", Quota::new(1, 60 * SECOND)));
    let app = Router::new().route("/", get(|| async {})).layer(layer);
    let client = Client::new(app, &limiter);
    for (status, drift) in [(200, 0), (429, 500), (429, -500)] {
        clock.ahead.store(drift, Ordering::Relaxed);
        let response = client.get("/").await;
        assert_eq!(response.status(), status);
        let reset = header(&response, "x-ratelimit-reset").unwrap();
        assert_eq!(reset.parse::<i64>().unwrap(), START + 60 + drift);
    }
}
