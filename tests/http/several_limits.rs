//! A handler with several limits on different keys: `Retry-After` is when the same request succeeds
//! by all of them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use proptest::prelude::*;
use support::far::{FarStore, limiter_on};
use support::{header, local, send};
use tollgate::http::Refusal;
use tollgate::testing::ManualClock;
use tollgate::{HttpOptions, Limiter, MemoryBackend, Override, Overrides, Quota, rate_limit};

fn cost(parts: &Parts) -> u32 {
    parts.headers["x-cost"].to_str().unwrap().parse().unwrap()
}

fn other_cost(parts: &Parts) -> u32 {
    4 - cost(parts)
}

#[rate_limit(9, per = second, name = "windows a", key = header("x-a"), cost = self::cost)]
#[rate_limit(9, per = second, name = "windows b", key = header("x-b"), cost = self::other_cost, algorithm = gcra)]
#[rate_limit(9, per = second, name = "windows c", key = global)]
async fn windows() {}

#[rate_limit(9, per = second, name = "others a", key = header("x-a"), algorithm = fixed_window)]
#[rate_limit(9, per = second, name = "others b", key = header("x-b"), cost = self::cost, algorithm = token_bucket)]
#[rate_limit(9, per = second, name = "others c", key = global, cost = self::other_cost, algorithm = sliding_window_counter)]
async fn others() {}

/// A quota of each limit: how many, in how many milliseconds.
type Quotas = [(u32, u64); 3];

/// A request: its subjects of `a` and `b`, its cost, and the microseconds before it.
type Step = (u16, u16, u32, u64);

fn request((a, b, cost, _): Step) -> Request<Body> {
    let request = Request::get("/").header("x-a", a).header("x-b", b).header("x-cost", cost);
    request.body(Body::empty()).unwrap()
}

/// Tells the exact wait, which the field rounds to seconds.
fn exactly(refusal: &Refusal<'_>) -> Response {
    let wait = refusal.retry_after().map_or(u128::MAX, |wait| wait.as_micros());
    (refusal.status(), [("x-wait", wait.to_string())]).into_response()
}

/// The handler on a limiter of its own, after these steps. Returns the last response.
async fn after(
    handler: MethodRouter,
    quotas: Quotas,
    steps: &[Step],
) -> (Router, ManualClock, Option<Response>) {
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let limiter = Limiter::builder(backend).http(HttpOptions::new().refusal(exactly)).build();
    let mut overrides = Overrides::new();
    for (name, (limit, millis)) in ["a", "b", "c"].into_iter().zip(quotas) {
        for handler in ["windows", "others"] {
            let quota = Override::new().limit(limit).per(Duration::from_millis(millis));
            overrides = overrides.with(format!("{handler} {name}"), quota);
        }
    }
    limiter.set_overrides(overrides).unwrap();
    let app = local(Router::new().route("/", handler), &limiter);
    let mut last = None;
    for step in steps {
        clock.advance(Duration::from_micros(step.3));
        last = Some(send(&app, request(*step)).await);
    }
    (app, clock, last)
}

/// Tries the refused request again after `wait`, in a world of its own.
async fn retry(handler: MethodRouter, quotas: Quotas, steps: &[Step], wait: u64) -> StatusCode {
    let (app, clock, _) = after(handler, quotas, steps).await;
    clock.advance(Duration::from_micros(wait));
    send(&app, request(*steps.last().unwrap())).await.status()
}

async fn check(handler: fn() -> MethodRouter, quotas: Quotas, steps: &[Step]) -> bool {
    let (_, _, last) = after(handler(), quotas, steps).await;
    let Some(refused) = last.filter(|last| last.status() == 429) else { return false };
    let wait: u128 = header(&refused, "x-wait").unwrap().parse().unwrap();
    let wait = u64::try_from(wait).unwrap();
    let seconds: u64 = header(&refused, "retry-after").unwrap().parse().unwrap();
    assert_eq!(seconds, wait.div_ceil(1_000_000).max(1));
    assert_eq!(retry(handler(), quotas, steps, wait).await, 200, "after {wait} µs");
    assert_eq!(retry(handler(), quotas, steps, wait - 1).await, 429, "after {} µs", wait - 1);
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(support::scaled(200, 10_000)))]

    #[test]
    fn the_same_request_succeeds_then_and_not_a_microsecond_before(
        quotas: [(u8, u16); 3],
        steps in prop::collection::vec((0_u16..2, 0_u16..2, 1_u32..4, 0_u64..400_000), 1..20),
    ) {
        let quotas = quotas.map(|(limit, millis)| {
            (3 + u32::from(limit % 5), 500 + 1_000 * u64::from(millis % 4) + u64::from(millis % 97))
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for handler in [|| get(windows), || get(others)] as [fn() -> MethodRouter; 2] {
            let checked = (1..=steps.len())
                .filter(|count| runtime.block_on(check(handler, quotas, &steps[..*count])));
            checked.count();
        }
    }
}

/// A limit behind the refusing one that would refuse the request for another reason, because it lacks
/// the key, makes no refusal of its own.
#[tokio::test]
async fn one_refusal_is_made_for_one_request() {
    static REFUSALS: AtomicU32 = AtomicU32::new(0);
    let counted = |refusal: &Refusal<'_>| {
        REFUSALS.fetch_add(1, Ordering::Relaxed);
        exactly(refusal)
    };
    let limiter = Limiter::builder(MemoryBackend::new());
    let limiter = limiter.http(HttpOptions::new().refusal(counted)).build();
    let app = local(Router::new().route("/", get(windows)), &limiter);
    for _ in 0..3 {
        assert_eq!(send(&app, request((0, 0, 3, 0))).await.status(), 200);
    }
    let mut without_key = request((0, 0, 3, 0));
    without_key.headers_mut().remove("x-b");
    assert_eq!(send(&app, without_key).await.status(), 429);
    assert_eq!(REFUSALS.load(Ordering::Relaxed), 1);
}

/// All limits behind the refusing one are asked in one call, and nothing is charged to them.
#[tokio::test]
async fn the_limits_behind_are_asked_once_and_not_charged() {
    let store = FarStore::new();
    let clock = store.clock.clone();
    let limiter = limiter_on(store.clone(), &clock).local_tier(tollgate::LocalTier::none()).build();
    let app = local(Router::new().route("/", get(windows)), &limiter);
    for _ in 0..3 {
        assert_eq!(send(&app, request((0, 0, 3, 0))).await.status(), 200);
    }
    let calls = store.calls();
    assert_eq!(send(&app, request((0, 0, 3, 0))).await.status(), 429);
    assert_eq!(store.calls() - calls, 2, "one to the limit that refuses, one to those behind it");
    let global = tollgate::Policy::new("windows c", Quota::per_second(9));
    assert_eq!(store.peek(&global, "*", 0).quotas()[0].remaining(), 6);
}
