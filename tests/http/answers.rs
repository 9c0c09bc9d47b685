//! A decision is an answer: the refusal of a check in a handler is the response that the attribute
//! gives by the same policy, byte by byte.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::get;
use support::{FailingBackend, local, send};
use tollgate::http::{HeaderStyle, LegacyReset, Refusal};
use tollgate::testing::ManualClock;
use tollgate::{
    BackendError, HttpOptions, Limiter, LimiterBuilder, MemoryBackend, Outcome, Override,
    Overrides, Policy, Quota, RateLimited, Subject, Unavailable, rate_limit,
};

const QUOTA: Quota = Quota::per_minute(3);
const ONE: Policy = Policy::new("answers: one", QUOTA);
const TWO: Policy = Policy::new("answers: two", QUOTA).and(Quota::per_day(5));

fn cost(parts: &Parts) -> u32 {
    parts.headers["x-cost"].to_str().unwrap().parse().unwrap()
}

#[rate_limit(3, per = minute, key = global, cost = self::cost, name = "answers: one")]
async fn one() -> &'static str {
    "in"
}

#[rate_limit(3, per = minute, key = global, cost = self::cost, name = "answers: two")]
#[rate_limit(5, per = day, key = global)]
async fn two() -> &'static str {
    "in"
}

/// The ways to ask in a handler. All but the first are only tried while nothing is left to take.
const WAYS: [&str; 5] = ["check", "now", "wait", "peek", "function"];

#[derive(Clone)]
struct Direct {
    limiter: Limiter,
    policy: Policy,
    way: &'static str,
}

/// Nothing but the limiter in the state says which options there are.
async fn direct(State(direct): State<Direct>, parts: Parts) -> Result<&'static str, RateLimited> {
    let Direct { limiter, policy, way } = direct;
    let (subject, cost) = (Subject::global(), cost(&parts));
    let decision = match way {
        "check" => limiter.check_cost(&policy, subject, cost).await?,
        "now" => match limiter.check_now(&policy, &subject, cost) {
            Some(decision) => decision?,
            None => limiter.check_cost(&policy, &subject, cost).await?,
        },
        "wait" => limiter.wait(&policy, subject, cost, Duration::ZERO).await?,
        "peek" => limiter.peek(&policy, subject, cost).await?,
        // The error of a limited function is another way to get there.
        _ => limiter.scope(async { limiter.check_cost(&policy, subject, cost).await }).await?,
    };
    let _decision = decision.into_result()?;
    Ok("in")
}

/// All that a client sees: status, fields, body.
async fn seen(response: Response<Body>) -> String {
    let mut seen = format!("{}\n", response.status());
    let mut fields: Vec<String> = response
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
        .collect();
    fields.sort_unstable();
    seen.extend(fields);
    seen + &support::text(response).await
}

fn own(refusal: &Refusal<'_>) -> (StatusCode, String) {
    let seconds = refusal.retry_after_seconds();
    (refusal.status(), format!("{} {seconds:?}", refusal.policy().name()))
}

/// The settings of limiters under which the responses are compared.
fn settings() -> Vec<HttpOptions> {
    let mut all = Vec::new();
    for style in [HeaderStyle::Ietf, HeaderStyle::Legacy, HeaderStyle::Both, HeaderStyle::None] {
        for reset in [LegacyReset::Epoch, LegacyReset::Delta] {
            let options = HttpOptions::new().headers(style).legacy_reset(reset);
            all.push(options.clone().refusal(own));
            let problem = |refusal: &Refusal<'_>| refusal.problem().with("help", "\"ask\"");
            all.push(options.clone().refusal(problem));
            all.push(options);
        }
    }
    all
}

fn in_memory(clock: &ManualClock) -> LimiterBuilder {
    Limiter::builder(MemoryBackend::builder().clock(clock.clone()).build()).clock(clock.clone())
}

/// A situation, with the status of its refusal.
struct Row {
    name: &'static str,
    status: u16,
    cost: u32,
    /// Requests of cost 1 before.
    used: usize,
    changes: Option<Override>,
    fails: bool,
}

fn rows() -> Vec<Row> {
    let row = |name, status, cost, used| {
        let (changes, fails) = (None, false);
        Row { name, status, cost, used, changes, fails }
    };
    let blocked = |changes| Row { changes: Some(changes), ..row("blocked", 403, 1, 0) };
    vec![
        row("refused", 429, 1, 3),
        row("refused with something left", 429, 3, 1),
        row("never", 413, 4, 0),
        row("never by one", 413, 6, 3),
        blocked(Override::new().block(true)),
        blocked(Override::new().limit(0)),
        blocked(Override::new().quotas([Quota::per_hour(1), Quota::BLOCKED])),
        Row { fails: true, ..row("unavailable", 503, 1, 0) },
        Row { changes: Some(Override::new().shadow(true)), ..row("in shadow", 200, 1, 3) },
    ]
}

#[tokio::test]
async fn it_is_the_response_of_the_attribute() {
    for http in settings() {
        for row in rows() {
            for policy in [ONE, TWO] {
                compare(&row, &policy, http.clone()).await;
            }
        }
    }
}

async fn compare(row: &Row, policy: &Policy, http: HttpOptions) {
    let clock = ManualClock::new();
    let builder = match row.fails {
        true => Limiter::builder(FailingBackend).breaker(None),
        false => in_memory(&clock),
    };
    // Another test of this program has a limit with `on_error = local`.
    let limiter = builder.instances(1).http(http.clone()).build();
    if let Some(changes) = &row.changes {
        let overrides = Overrides::new().with(policy.name(), changes.clone());
        limiter.set_overrides(overrides).unwrap();
    }
    let ask = async |router: &Router, cost: u32| {
        let request = Request::get("/").header("x-cost", cost).body(Body::empty()).unwrap();
        send(router, request).await
    };
    let handler = if policy.quotas().len() == 1 { get(one) } else { get(two) };
    let annotated = local(Router::new().route("/", handler), &limiter);
    for _ in 0..row.used {
        assert_eq!(ask(&annotated, 1).await.status(), 200);
        clock.advance(Duration::from_micros(1_234_567));
    }
    let by_attribute = ask(&annotated, row.cost).await;
    let (name, status) = (row.name, by_attribute.status().as_u16());
    assert_eq!(status, row.status, "{name}");
    let is_admitted = status == 200;
    let by_attribute = seen(by_attribute).await;
    for way in WAYS {
        let direct_state = Direct { limiter: limiter.clone(), policy: policy.clone(), way };
        let router = Router::new().route("/", get(direct)).with_state(direct_state);
        let by_check = ask(&router, row.cost).await;
        if is_admitted {
            assert_eq!(by_check.status(), 200, "{name} {way}");
            continue;
        }
        assert_eq!(seen(by_check).await, by_attribute, "{name}, {way}, {policy:?} {http:?}");
    }
}

/// What is admitted is the decision itself, which can be refunded.
#[tokio::test]
async fn what_is_admitted_is_returned() {
    let (limiter, _) = support::limiter();
    let taken = limiter.check_cost(&ONE, "s", 3).await.unwrap().into_result().unwrap();
    let refused = limiter.check(&ONE, "s").await.unwrap().into_result().unwrap_err();
    assert_eq!(refused.policy(), "answers: one");
    assert!(matches!(refused.decision().unwrap().outcome(), Outcome::Refused { .. }));
    assert!(limiter.refund(taken).await.unwrap());
    assert!(limiter.check(&ONE, "s").await.unwrap().into_result().is_ok());
}

/// An error that is not that of a check belongs to no policy, and says so little.
#[tokio::test]
async fn an_outage_without_a_check_is_503() {
    let unavailable = Unavailable::from(BackendError::not_executed("down"));
    let limited = RateLimited::from(unavailable);
    assert_eq!((limited.policy(), limited.retry_after()), ("", Some(Duration::from_secs(1))));
    let (limiter, _) = support::limiter();
    let response = limiter.scope(async { limited.into_response() }).await;
    let expected = concat!(
        "503 Service Unavailable\ncache-control: no-store\ncontent-type: application/problem+json\n",
        "retry-after: 1\n",
        r##"{"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity","##,
        r##""title":"Request cannot be satisfied due to temporary server capacity constraints","##,
        r##""status":503,"detail":"The limit of this request cannot be checked; retry in 1s."}"##,
    );
    assert_eq!(seen(response).await, expected);
}
