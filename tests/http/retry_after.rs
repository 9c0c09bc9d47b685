//! When the same request succeeds: `Retry-After` and the fields beside it, on refusals that pass
//! layers, for waits of many days, and for requests that never succeed.

use std::collections::HashSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use axum::routing::get;
use proptest::prelude::*;
use serde_json::json;
use sfv::{BareItem, List, ListEntry, Parser};
use support::{FailingBackend, header, local, scaled, send};
use tollgate::http::{HeaderStyle, LegacyReset, Refusal};
use tollgate::testing::ManualClock;
use tollgate::{
    Algorithm, HttpOptions, Key, Limiter, MemoryBackend, Override, Overrides, Policy, Quota,
    RateLimitLayer, RateLimited, rate_limit,
};

const DAY: u64 = 86_400;

fn costing(cost: u32) -> Request<Body> {
    Request::get("/").header("x-cost", cost).body(Body::empty()).unwrap()
}

fn per(limit: u32, secs: u64) -> Quota {
    Quota::new(limit, Duration::from_secs(secs))
}

fn layer(policy: Policy) -> RateLimitLayer {
    RateLimitLayer::new(policy).key(Key::global()).cost_of(|parts| {
        parts.headers.get("x-cost").map_or(1, |cost| cost.to_str().unwrap().parse().unwrap())
    })
}

/// The layers around a handler, the innermost first.
fn app(layers: impl IntoIterator<Item = RateLimitLayer>, limiter: &Limiter) -> Router {
    let routes = Router::new().route("/", get(async || "admitted"));
    local(layers.into_iter().fold(routes, Router::layer), limiter)
}

/// `[Retry-After, RateLimit, X-RateLimit-Limit, -Remaining, -Reset]`, the lines of a list joined.
fn fields(response: &Response<Body>) -> [String; 5] {
    let names = [
        "retry-after",
        "ratelimit",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ];
    names.map(|name| {
        let lines = response.headers().get_all(name);
        let lines: Vec<&str> = lines.iter().map(|line| line.to_str().unwrap()).collect();
        lines.join(", ")
    })
}

fn with(style: HeaderStyle) -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let http = HttpOptions::new().headers(style).legacy_reset(LegacyReset::Delta);
    (Limiter::builder(backend).http(http).build(), clock)
}

/// A layer that is used up, but for a shorter time than the limit behind it.
#[tokio::test]
async fn who_refuses_longest_is_told_first_and_by_the_older_fields() {
    let (limiter, clock) = with(HeaderStyle::Both);
    let inner = layer(Policy::new("inner", per(10, 3_600)));
    let app = app([inner, layer(Policy::new("outer", per(7, 1)))], &limiter);
    assert_eq!(send(&app, costing(6)).await.status(), StatusCode::OK);
    clock.advance(Duration::from_secs(1));
    let refused = send(&app, costing(5)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    // Two units of the outer one are left, and five in a second.
    let expected = ["3599", r#""inner";r=4;t=3599, "outer";r=2;t=1"#, "10", "4", "3599"];
    assert_eq!(fields(&refused), expected);
}

#[rate_limit(1, per = second, key = args(), name = "called")]
async fn called() -> Result<(), RateLimited> {
    Ok(())
}

/// Nobody limits this handler, but it calls a function with a limit.
async fn calling() -> Result<&'static str, RateLimited> {
    called().await?;
    Ok("called")
}

/// The layer has admitted the second request, and took its last unit for it. So the retry is refused
/// by the layer, for longer than by the limit behind it.
#[tokio::test]
async fn a_layer_raises_what_passes_it() {
    const RAISED: [&str; 5] = ["60", r#""outer";r=0;t=60, "inner";r=0;t=1"#, "2", "0", "60"];
    let inner = || layer(Policy::new("inner", per(1, 1)));
    let outer = || layer(Policy::new("outer", per(2, 60)));
    let failing = Limiter::new(FailingBackend);
    let cases = [
        ("plain", inner(), outer(), RAISED),
        // The style of a layer changes nothing else.
        (
            "no fields",
            inner(),
            outer().headers(HeaderStyle::None),
            ["60", r#""inner";r=0;t=1"#, "1", "0", "1"],
        ),
        ("shadow", inner(), outer().shadow(), ["1", r#""inner";r=0;t=1"#, "1", "0", "1"]),
        // A function may set the field itself, and then it stays.
        (
            "a field of the user's",
            inner().refusal(|refusal: &Refusal<'_>| (refusal.status(), [("retry-after", "7")])),
            outer(),
            ["7", RAISED[1], "2", "0", "60"],
        ),
        (
            "a function without the field",
            inner().refusal(|refusal: &Refusal<'_>| refusal.status()),
            outer(),
            RAISED,
        ),
        (
            "an outage",
            inner().limiter(failing),
            outer(),
            ["60", r#""outer";r=0;t=60"#, "2", "0", "60"],
        ),
        // Here no wait helps.
        (
            "no key",
            inner().key(Key::header("x-key")),
            outer(),
            ["", r#""outer";r=0;t=60"#, "2", "0", "60"],
        ),
    ];
    for (case, inner, outer, expected) in cases {
        let (limiter, _clock) = with(HeaderStyle::Both);
        let app = app([inner, outer], &limiter);
        send(&app, costing(1)).await;
        let refused = send(&app, costing(1)).await;
        assert!(!refused.status().is_success(), "{case}");
        assert_eq!(fields(&refused), expected, "{case}");
    }

    let (limiter, _clock) = with(HeaderStyle::Both);
    let app = local(Router::new().route("/", get(calling)).layer(outer()), &limiter);
    let refused = tollgate::testing::scope(limiter, async {
        send(&app, costing(1)).await;
        send(&app, costing(1)).await
    });
    let expected = ["60", r#""outer";r=0;t=60, "called";r=0;t=1"#, "2", "0", "60"];
    assert_eq!(fields(&refused.await), expected);
}

#[rate_limit(1, per = 60, name = "lazy", key = global)]
async fn limited() -> Response<Body> {
    // The response of a service of its own, which no limit of this crate has refused.
    let response = Response::builder().status(429).header("retry-after", "3");
    response.body(Body::empty()).unwrap()
}

/// Only refusals of this crate are raised: what else says 429 is the handler's own response.
#[tokio::test]
async fn a_response_of_the_handler_is_left_alone() {
    let (limiter, _clock) = with(HeaderStyle::Ietf);
    let app = local(Router::new().route("/", get(limited)), &limiter);
    let response = send(&app, costing(1)).await;
    assert_eq!(fields(&response)[..2], ["3", r#""lazy";r=0;t=60"#]);
}

/// Timers of Node.js overflow beyond this wait, and its clients ask again at once.
#[tokio::test]
async fn waits_are_capped_and_nothing_else_is() {
    const CAP: &str = "2147483";
    let told = |refusal: &Refusal<'_>| {
        let exact = refusal.retry_after().unwrap().as_secs().to_string();
        let seconds = refusal.retry_after_seconds().unwrap().to_string();
        ([("x-exact", exact), ("x-seconds", seconds)], refusal.problem())
    };
    for (secs, capped) in [(2_147_483, CAP), (2_147_484, CAP), (366 * DAY, CAP), (60, "60")] {
        for reset in [LegacyReset::Delta, LegacyReset::Epoch] {
            let clock = ManualClock::new();
            clock.set_micros(1_800_000_000_000_000);
            let backend = MemoryBackend::builder().clock(clock.clone()).build();
            let http = HttpOptions::new().headers(HeaderStyle::Both).legacy_reset(reset);
            let limiter = Limiter::builder(backend).http(http).build();
            let plenty = Quota::new(u32::MAX, Duration::from_secs(366 * DAY));
            let policy = Policy::new("p", per(1, secs)).and(plenty);
            let app = app([layer(policy).refusal(told)], &limiter);
            let admitted = send(&app, costing(1)).await;
            let name = format!("p-{secs}s");
            let others = if secs == 366 * DAY { Some(()) } else { None };
            let expected = format!("\"{name}\";r=0;t={capped}");
            let [_, first, ..] = fields(&admitted);
            assert_eq!(first.split(", ").next(), Some(expected.as_str()));
            let window = format!("\"{name}\";q=1;w={secs}, ");
            assert!(header(&admitted, "ratelimit-policy").unwrap().starts_with(&window));
            let refused = send(&app, costing(1)).await;
            let [retry_after, items, limit, remaining, until] = fields(&refused);
            assert_eq!(retry_after, capped);
            assert_eq!(items.split(", ").next(), Some(expected.as_str()));
            assert!(others.is_some() || items.contains("r=4294967294"), "{items}");
            assert_eq!([limit, remaining], ["1", "0"]);
            match reset {
                LegacyReset::Delta => assert_eq!(until, capped),
                _ => assert_eq!(until, (1_800_000_000 + secs).to_string()),
            }
            assert_eq!(header(&refused, "x-exact"), Some(secs.to_string().as_str()));
            assert_eq!(header(&refused, "x-seconds"), Some(secs.to_string().as_str()));
            let detail = support::json(refused).await["detail"].as_str().unwrap().to_owned();
            assert!(detail.ends_with(&format!("retry in {capped}s.")), "{detail}");
        }
    }
}

#[rate_limit(5, per = 60, cost = 4, key = args(), name = "call")]
async fn call() -> Result<(), RateLimited> {
    Ok(())
}

/// A cost of the request's own that is too large is its own fault, and no wait helps.
#[tokio::test]
async fn what_can_never_pass_is_too_large() {
    let (limiter, _clock) = with(HeaderStyle::Both);
    let two = Policy::new("inner", per(5, 60)).and(per(20, 3_600));
    let app = app([layer(two), layer(Policy::new("outer", per(8, 1)))], &limiter);
    let expected = json!({
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 413,
        "detail": "This request alone is more than the limit of 5 per 60s allows.",
        "violated-policies": ["inner-60s"],
    });
    let refused = send(&app, costing(6)).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(header(&refused, "cache-control"), Some("no-store"));
    let told = ["", r#""inner-60s";r=5, "inner-3600s";r=20, "outer";r=2"#, "5", "5", "0"];
    assert_eq!(fields(&refused), told);
    assert_eq!(support::json(refused).await, expected);
    // The outer limit is too small for it, too.
    let refused = send(&app, costing(9)).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(fields(&refused), ["", r#""outer";r=2"#, "8", "2", "1"]);
    let detail = support::json(refused).await["detail"].to_string();
    assert!(detail.contains("more than the limit of 8 per 1s allows"), "{detail}");
}

/// Every request costs the same, and an override makes the limit too small for it: that is no fault
/// of the request. Functions do not tell their costs apart.
#[tokio::test]
async fn a_limit_below_a_fixed_cost_is_no_fault_of_the_request() {
    let policy = Policy::new("fixed", per(5, 60));
    let limiter = Limiter::builder(MemoryBackend::new()).declare(policy.clone()).build();
    let app = app([layer(policy).cost(4)], &limiter);
    let lower = Override::new().limit(3);
    let overrides = Overrides::new().with("fixed", lower.clone()).with("call", lower);
    limiter.set_overrides(overrides).unwrap();
    let refused = send(&app, costing(1)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "retry-after"), None);
    let body = support::json(refused).await;
    assert_eq!(body["status"], 429);
    let expected = "This request alone is more than the limit of 3 per 60s allows.";
    assert_eq!(body["detail"], expected);

    let error = tollgate::testing::scope(limiter, call()).await.unwrap_err();
    let refused = axum::response::IntoResponse::into_response(error);
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(header(&refused, "retry-after"), None);
    assert_eq!(support::json(refused).await["detail"], expected);
}

/// One layer of a stack: its policy, and a limiter that decides the same requests beside it.
struct Beside {
    policy: Policy,
    limiter: Limiter,
}

impl Beside {
    /// The exact time until a request of `cost` is admitted; `Duration::MAX`: never.
    async fn wait(&self, cost: u32) -> Duration {
        let peeked = self.limiter.peek(&self.policy, "all", cost).await.unwrap();
        match peeked.is_allowed() {
            true => Duration::ZERO,
            false => peeked.retry_after().unwrap_or(Duration::MAX),
        }
    }
}

async fn longest(stack: &[Beside], cost: u32) -> Duration {
    let mut longest = Duration::ZERO;
    for beside in stack {
        longest = longest.max(beside.wait(cost).await);
    }
    longest
}

/// The first item of a list: its name and its parameters, as another library reads them.
fn first_item(list: &str) -> (String, Vec<(String, i64)>) {
    let list = Parser::new(list).parse::<List>().unwrap();
    let Some(ListEntry::Item(item)) = list.first() else { panic!("no item") };
    let BareItem::String(name) = &item.bare_item else { panic!("no name") };
    let parameters = item.params.iter().map(|(name, value)| match value {
        BareItem::Integer(value) => (name.as_str().to_owned(), (*value).into()),
        other => panic!("{other:?}"),
    });
    (name.as_str().to_owned(), parameters.collect())
}

async fn session(policies: Vec<Policy>, style: HeaderStyle, steps: Vec<(u64, u32)>) {
    let (limiter, clock) = with(style);
    // The outermost comes first here, and last around the router.
    let app = app(policies.iter().rev().cloned().map(layer), &limiter);
    let beside = policies.into_iter().map(|policy| {
        let backend = MemoryBackend::builder().clock(clock.clone()).build();
        Beside { policy, limiter: Limiter::new(backend) }
    });
    let stack: Vec<Beside> = beside.collect();
    for (micros, cost) in steps {
        clock.advance(Duration::from_micros(micros));
        let mut refusing = None;
        for (index, Beside { policy, limiter }) in stack.iter().enumerate() {
            if !limiter.check_cost(policy, "all", cost).await.unwrap().is_allowed() {
                refusing = Some(index);
                break;
            }
        }
        let response = send(&app, costing(cost)).await;
        let Some(refusing) = refusing else {
            assert_eq!(response.status(), StatusCode::OK);
            continue;
        };
        // What stands behind the refusing layer is not known to it.
        let passed = &stack[..=refusing];
        let wait = longest(passed, cost).await;
        let [retry_after, items, limit, remaining, _] = fields(&response);
        if wait == Duration::MAX {
            assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(retry_after, "");
            assert!(!items.contains(";t="), "{items}");
            continue;
        }
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        let seconds = wait.as_micros().div_ceil(1_000_000);
        assert_eq!(retry_after, seconds.to_string());
        if style != HeaderStyle::Legacy {
            let seconds = i64::try_from(seconds).unwrap();
            let (name, parameters) = first_item(&items);
            let Some((r, left)) = parameters.first() else { panic!("{items}") };
            assert_eq!(r, "r", "{items}");
            assert_eq!(parameters[1..], [("t".to_owned(), seconds)], "{items}");
            let lines = response.headers().get_all("ratelimit").iter();
            assert_eq!(lines.count(), refusing + 1);
            for item in items.split(", ") {
                let t = item.split(";t=").nth(1).map_or(0, |t| t.parse().unwrap());
                assert!(t <= seconds, "{items}");
            }
            if style == HeaderStyle::Both {
                let policies = response.headers().get_all("ratelimit-policy").iter();
                let all: Vec<&str> = policies.map(|line| line.to_str().unwrap()).collect();
                let all = all.join(", ");
                let start = format!("\"{name}\";");
                let quota = all.split(", ").find(|item| item.starts_with(&start)).unwrap();
                let (_, quota) = first_item(quota);
                assert_eq!(limit, quota[0].1.to_string(), "{items} {all}");
                assert_eq!(remaining, left.to_string(), "{items}");
            }
        }
        // At that instant all of them admit the request, and one microsecond before they do not.
        clock.advance(wait - Duration::from_micros(1));
        assert!(longest(passed, cost).await > Duration::ZERO);
        clock.advance(Duration::from_micros(1));
        assert_eq!(longest(passed, cost).await, Duration::ZERO);
    }
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let period = prop_oneof![1_000_u64..9_000_000, (1_u64..9).prop_map(|secs| secs * 1_000_000)];
    let quota = (1_u32..8, period);
    let policy = (prop::sample::select(Algorithm::ALL), prop::collection::vec(quota, 1..=4));
    prop::collection::vec(policy, 1..=4).prop_map(|policies| {
        let policies = policies.into_iter().zip(["a", "b", "c", "d"]);
        let policy = policies.map(|((algorithm, quotas), name)| {
            // Two quotas of one period have one name, by which they cannot be told apart.
            let mut periods = HashSet::new();
            let mut quotas = quotas
                .into_iter()
                .filter(|(_, micros)| periods.insert(*micros))
                .map(|(limit, micros)| Quota::new(limit, Duration::from_micros(micros)));
            let policy = Policy::new(name, quotas.next().unwrap()).algorithm(algorithm);
            quotas.fold(policy, Policy::and)
        });
        policy.collect()
    })
}

#[test]
fn a_stack_of_layers_tells_when_the_request_passes_them() {
    let config = ProptestConfig {
        cases: scaled(300, 10_000),
        failure_persistence: None,
        ..Default::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let style = [HeaderStyle::Ietf, HeaderStyle::Legacy, HeaderStyle::Both];
    let style = prop::sample::select(style.to_vec());
    let steps = prop::collection::vec((0_u64..2_000_000, 1_u32..7), 1..20);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&(policies(), style, steps), |(policies, style, steps)| {
        runtime.block_on(session(policies, style, steps));
        Ok(())
    });
    result.unwrap();
}
