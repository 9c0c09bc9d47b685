//! What stands in the header fields: read by an independent parser, in every style, for every
//! algorithm, on success, refusal and failure; and over a session whose figures are worked out
//! by hand.

use std::collections::HashSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use proptest::prelude::*;
use sfv::{BareItem, FieldType as _, List, ListEntry, Parser};
use support::{FailingBackend, header, limiter, scaled, send};
use tollgate::http::{HeaderStyle, LegacyReset};
use tollgate::testing::ManualClock;
use tollgate::{
    Algorithm, Clock as _, HttpOptions, Key, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer,
};

const STYLES: [HeaderStyle; 4] =
    [HeaderStyle::Ietf, HeaderStyle::Legacy, HeaderStyle::Both, HeaderStyle::None];

/// An item: its name, and the values of two parameters.
type Item = (String, Option<i64>, Option<i64>);

/// Reads a field, all of its lines together, as any structured list.
fn read(response: &Response<Body>, name: &str, parameters: [&str; 2]) -> Option<Vec<Item>> {
    let lines = response.headers().get_all(name);
    let lines: Vec<&str> = lines.iter().map(|line| line.to_str().unwrap()).collect();
    let list = Parser::new(&lines.join(", ")).parse::<List>().unwrap();
    if lines.is_empty() {
        return None;
    }
    assert_eq!(list.serialize().unwrap(), lines.join(", "), "not canonical");
    let items = list.iter().map(|entry| {
        let ListEntry::Item(item) = entry else { panic!("an inner list in {lines:?}") };
        let BareItem::String(name) = &item.bare_item else { panic!("no string in {lines:?}") };
        let known = |key: &str| parameters.contains(&key);
        assert!(item.params.keys().all(|key| known(key.as_str())), "{lines:?}");
        let [first, second] = parameters.map(|key| match item.params.get(key) {
            Some(BareItem::Integer(value)) => Some((*value).into()),
            None => None,
            other => panic!("{other:?} in {lines:?}"),
        });
        (name.as_str().to_owned(), first, second)
    });
    Some(items.collect())
}

fn policy_items(response: &Response<Body>) -> Option<Vec<Item>> {
    read(response, "ratelimit-policy", ["q", "w"])
}

fn limit_items(response: &Response<Body>) -> Option<Vec<Item>> {
    read(response, "ratelimit", ["r", "t"])
}

fn number(response: &Response<Body>, name: &str) -> Option<u64> {
    header(response, name).map(|value| {
        assert!(value.bytes().all(|byte| byte.is_ascii_digit()), "{name}: {value}");
        value.parse().unwrap()
    })
}

/// Which fields a style has: the two of the IETF, then the three older ones.
fn assert_style(response: &Response<Body>, style: HeaderStyle, knows: bool) {
    let has = |name| response.headers().contains_key(name);
    let ietf = matches!(style, HeaderStyle::Ietf | HeaderStyle::Both);
    let legacy = matches!(style, HeaderStyle::Legacy | HeaderStyle::Both);
    assert_eq!(has("ratelimit-policy"), ietf);
    assert_eq!(has("ratelimit"), ietf && knows);
    assert_eq!(has("x-ratelimit-limit"), legacy);
    assert_eq!(has("x-ratelimit-remaining"), legacy && knows);
    assert_eq!(has("x-ratelimit-reset"), legacy && knows);
}

fn app(layer: RateLimitLayer, limiter: &Limiter) -> Router {
    Router::new().route("/", get(async || "admitted")).layer(layer).layer(limiter.layer())
}

fn weighing(cost: u32) -> Request<Body> {
    Request::get("/").header("x-cost", cost).body(Body::empty()).unwrap()
}

fn layer(policy: Policy, style: HeaderStyle) -> RateLimitLayer {
    RateLimitLayer::new(policy)
        .key(Key::global())
        .headers(style)
        .cost_of(|parts| parts.headers["x-cost"].to_str().unwrap().parse().unwrap())
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL)
}

/// One to four quotas, of whole seconds and of any microseconds. Only buckets use the burst.
fn quotas() -> impl Strategy<Value = Vec<(Quota, u32)>> {
    let period = prop_oneof![(1_000_u64..5_000_000), (1_u64..4).prop_map(|s| s * 1_000_000)];
    let quota = (1_u32..6, period, 1_u32..9).prop_map(|(limit, period, burst)| {
        (Quota::new(limit, Duration::from_micros(period)), burst)
    });
    prop::collection::vec(quota, 1..=4)
}

/// A name as it arrives: percent-encoded where the field has no room for it.
fn arrives(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b' '..=b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// The fields that are due, from the definition of each: the quotas are decided one by one, each by
/// a limiter of its own.
struct Expected {
    quotas: Vec<(String, Quota, Policy, Limiter)>,
    has_bucket: bool,
    reset: LegacyReset,
    clock: ManualClock,
}

/// One quota, decided alone.
struct Alone {
    /// `None`: admitted; `Some(None)`: never.
    refused: Option<Option<Duration>>,
    remaining: u32,
    more_after: Duration,
    reset_after: Duration,
}

/// `RateLimit`, the three older fields, and the exact wait, all for one response.
struct Fields {
    items: Vec<Item>,
    legacy: [u64; 3],
    wait: Option<Duration>,
}

fn seconds(span: Duration) -> u64 {
    u64::try_from(span.as_micros().div_ceil(1_000_000)).unwrap()
}

impl Expected {
    /// Returns the capacity of a quota, and its window if that is a number of whole seconds.
    fn policy_item(&self, (name, quota, ..): &(String, Quota, Policy, Limiter)) -> Item {
        let capacity = if self.has_bucket { quota.capacity() } else { quota.limit() };
        let window = u128::from(capacity) * quota.period().as_micros();
        let per_second = u128::from(quota.limit()) * 1_000_000;
        let window = window.is_multiple_of(per_second).then(|| (window / per_second) as i64);
        (name.clone(), Some(capacity.into()), window)
    }

    async fn alone(&self, cost: u32, charges: bool) -> Vec<Alone> {
        let mut all = Vec::new();
        for (_, _, policy, limiter) in &self.quotas {
            let decision = match charges {
                true => limiter.check_cost(policy, "all", cost).await.unwrap(),
                false => limiter.peek(policy, "all", cost).await.unwrap(),
            };
            let state = decision.quotas()[0];
            all.push(Alone {
                refused: (!decision.is_allowed()).then(|| decision.retry_after()),
                remaining: state.remaining(),
                more_after: state.more_after(),
                reset_after: state.reset_after(),
            });
        }
        all
    }

    /// Decides a request, and returns `true` and the fields if it is admitted.
    async fn decide(&self, cost: u32) -> (bool, Fields) {
        let alone = self.alone(cost, false).await;
        if alone.iter().all(|quota| quota.refused.is_none()) {
            let alone = self.alone(cost, true).await;
            let tightest = (0..alone.len()).min_by_key(|at| alone[*at].remaining).unwrap();
            let items = (0..alone.len()).map(|at| self.item(at, &alone[at], alone[at].more_after));
            let fields = Fields {
                items: items.collect(),
                legacy: self.legacy(tightest, &alone[tightest]),
                wait: None,
            };
            return (true, fields);
        }
        let wait = |quota: &Alone| quota.refused.map(|wait| wait.unwrap_or(Duration::MAX));
        let longest = alone.iter().map(wait).max().unwrap();
        let decides = alone.iter().position(|quota| wait(quota) == longest).unwrap();
        let never = longest == Some(Duration::MAX);
        let others = (0..alone.len()).filter(|at| *at != decides);
        let items = std::iter::once(decides).chain(others).map(|at| {
            let quota = &alone[at];
            let after = wait(quota).unwrap_or(quota.more_after);
            let in_vain = never || seconds(after) > seconds(longest.unwrap());
            self.item(at, quota, if in_vain { Duration::ZERO } else { after })
        });
        let fields = Fields {
            items: items.collect(),
            legacy: self.legacy(decides, &alone[decides]),
            wait: longest.filter(|_| !never),
        };
        (false, fields)
    }

    fn item(&self, at: usize, quota: &Alone, after: Duration) -> Item {
        let after = (after > Duration::ZERO).then(|| seconds(after) as i64);
        (self.quotas[at].0.clone(), Some(quota.remaining.into()), after)
    }

    fn legacy(&self, at: usize, quota: &Alone) -> [u64; 3] {
        let (_, capacity, _) = self.policy_item(&self.quotas[at]);
        let reset = match self.reset {
            LegacyReset::Delta => quota.reset_after,
            _ => Duration::from_micros(self.clock.now_micros()) + quota.reset_after,
        };
        [capacity.unwrap() as u64, quota.remaining.into(), seconds(reset)]
    }
}

/// The policy of a session.
#[derive(Clone, Debug)]
struct Case {
    name: String,
    algorithm: Algorithm,
    quotas: Vec<(Quota, u32)>,
    style: HeaderStyle,
    reset: LegacyReset,
}

impl Case {
    fn quotas(&self) -> Vec<Quota> {
        let bucket = matches!(
            self.algorithm,
            Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::Gcra
        );
        let quota =
            |(quota, burst): &(Quota, u32)| if bucket { quota.burst(*burst) } else { *quota };
        self.quotas.iter().map(quota).collect()
    }

    fn policy(&self) -> Policy {
        let quotas = self.quotas();
        let policy = Policy::named(self.name.clone(), quotas[0]).algorithm(self.algorithm);
        quotas[1..].iter().fold(policy, |policy, quota| policy.and(*quota))
    }

    fn expected(&self, clock: &ManualClock) -> Expected {
        let quotas = self.quotas();
        let alone = quotas.iter().map(|quota| {
            let name = match quotas.as_slice() {
                [_] => arrives(&self.name),
                _ => arrives(&format!("{}-{:?}", self.name, quota.period())),
            };
            let policy = Policy::new("alone", *quota).algorithm(self.algorithm);
            (name, *quota, policy, on(clock, HttpOptions::new()))
        });
        let has_bucket = !matches!(
            self.algorithm,
            Algorithm::FixedWindow | Algorithm::SlidingWindow | Algorithm::SlidingWindowCounter
        );
        Expected { quotas: alone.collect(), has_bucket, reset: self.reset, clock: clock.clone() }
    }
}

fn on(clock: &ManualClock, http: HttpOptions) -> Limiter {
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    Limiter::builder(backend).http(http).build()
}

async fn session(case: Case, steps: Vec<(u64, u32)>) {
    let clock = ManualClock::new();
    let limiter = on(&clock, HttpOptions::new().legacy_reset(case.reset));
    let expected = case.expected(&clock);
    let app = app(layer(case.policy(), case.style), &limiter);
    for (micros, cost) in steps {
        clock.advance(Duration::from_micros(micros));
        let Some(wait) = step(&app, &expected, case.style, cost).await else { continue };
        // Whoever comes one microsecond too early is refused, and whoever comes then is admitted.
        clock.advance(wait - Duration::from_micros(1));
        assert!(step(&app, &expected, case.style, cost).await.is_some());
        clock.advance(Duration::from_micros(1));
        assert!(step(&app, &expected, case.style, cost).await.is_none());
    }
}

/// Sends one request and compares all fields. Returns the exact wait of a refusal.
async fn step(
    app: &Router,
    expected: &Expected,
    style: HeaderStyle,
    cost: u32,
) -> Option<Duration> {
    let (admitted, fields) = expected.decide(cost).await;
    let response = send(app, weighing(cost)).await;
    let status = match (admitted, fields.wait) {
        (true, _) => StatusCode::OK,
        (false, Some(_)) => StatusCode::TOO_MANY_REQUESTS,
        (false, None) => StatusCode::PAYLOAD_TOO_LARGE,
    };
    assert_eq!(response.status(), status);
    assert_style(&response, style, true);
    if let Some(items) = policy_items(&response) {
        let all = expected.quotas.iter().map(|quota| expected.policy_item(quota));
        assert_eq!(items, all.collect::<Vec<_>>());
    }
    if let Some(items) = limit_items(&response) {
        assert_eq!(items, fields.items);
        let capacity = |name: &str| {
            let quota = expected.quotas.iter().find(|quota| quota.0 == name).unwrap();
            expected.policy_item(quota).1.unwrap()
        };
        assert!(items.iter().all(|(name, left, _)| left.unwrap() <= capacity(name)), "{items:?}");
        if let Some(wait) = fields.wait {
            assert_eq!(items[0].2, Some(seconds(wait) as i64), "the first item decides: {items:?}");
        }
    }
    if matches!(style, HeaderStyle::Legacy | HeaderStyle::Both) {
        let names = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
        assert_eq!(names.map(|name| number(&response, name).unwrap()), fields.legacy);
    }
    let retry_after = number(&response, "retry-after");
    assert_eq!(retry_after, fields.wait.map(seconds));
    if !admitted {
        let body = support::json(response).await;
        let detail = body["detail"].as_str().unwrap();
        let told = retry_after.map(|seconds| format!(" reached; retry in {seconds}s."));
        assert!(detail.ends_with(told.as_deref().unwrap_or(" allows.")), "{detail}");
        assert_eq!(body["status"], status.as_u16());
        assert_eq!(body["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    }
    fields.wait
}

#[test]
fn every_style_algorithm_and_name_is_read_by_an_independent_parser() {
    let config = ProptestConfig {
        cases: scaled(150, 5_000),
        failure_persistence: None,
        ..Default::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let name = prop_oneof![
        "[a-z]{1,8}",
        "[ -~]{1,12}",
        any::<String>().prop_filter("a name is not empty", |name| !name.is_empty()),
        Just("the \"one\" \\ two".to_owned()),
    ];
    let steps = prop::collection::vec((0_u64..1_500_000, 1_u32..9), 1..12);
    let style = prop::sample::select(STYLES.to_vec());
    let reset = prop::sample::select(vec![LegacyReset::Epoch, LegacyReset::Delta]);
    let case = (name, algorithms(), quotas(), style, reset);
    let case = case.prop_map(|(name, algorithm, mut quotas, style, reset)| {
        // Two quotas of one period have one name, by which the test could not tell them apart.
        let mut periods = HashSet::new();
        quotas.retain(|(quota, _)| periods.insert(quota.period()));
        Case { name, algorithm, quotas, style, reset }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let result = runner.run(&(case, steps), |(case, steps)| {
        runtime.block_on(session(case, steps));
        Ok(())
    });
    result.unwrap();
}

#[tokio::test]
async fn a_failing_backend_is_told_in_every_style() {
    let limiter = Limiter::new(FailingBackend);
    let policy = Policy::new("a \"b\"", Quota::new(5, Duration::from_secs(60)));
    let two = policy.clone().and(Quota::new(9, Duration::from_secs(3_600)));
    for style in STYLES {
        for (policy, names) in
            [(&policy, vec!["a \"b\""]), (&two, vec!["a \"b\"-60s", "a \"b\"-3600s"])]
        {
            let app = app(layer(policy.clone(), style), &limiter);
            let response = send(&app, weighing(1)).await;
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(number(&response, "retry-after"), Some(1));
            assert_style(&response, style, false);
            if let Some(items) = policy_items(&response) {
                let found: Vec<&str> = items.iter().map(|(name, ..)| name.as_str()).collect();
                assert_eq!(found, names);
            }
        }
    }
}

/// Several policies on one response: the list is one, the older fields are of the tightest.
#[tokio::test]
async fn several_policies_speak_on_one_response() {
    let (limiter, _clock) = limiter();
    let quota = |limit| Quota::new(limit, Duration::from_secs(60));
    let both = HeaderStyle::Both;
    let inner = layer(Policy::new("inner", quota(2)), both);
    let outer = layer(Policy::new("outer", quota(5)), both);
    let app = app(inner, &limiter);
    let app = app.layer(outer).layer(limiter.layer());
    let one = |name: &str, a, b| (name.to_owned(), Some(a), Some(b));
    let response = send(&app, weighing(1)).await;
    let policies = vec![one("inner", 2, 60), one("outer", 5, 60)];
    assert_eq!(policy_items(&response).unwrap(), policies);
    assert_eq!(limit_items(&response).unwrap(), [one("inner", 1, 60), one("outer", 4, 60)]);
    assert_eq!(number(&response, "x-ratelimit-limit"), Some(2));
    assert_eq!(number(&response, "x-ratelimit-remaining"), Some(1));
    send(&app, weighing(1)).await;
    // The inner one refuses, and the outer one speaks as well.
    let refused = send(&app, weighing(1)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limit_items(&refused).unwrap(), [one("inner", 0, 60), one("outer", 2, 60)]);
    assert_eq!(number(&refused, "x-ratelimit-remaining"), Some(0));
    assert_eq!(refused.headers().get_all("retry-after").iter().count(), 1);
}

/// `[RateLimit, Retry-After, X-RateLimit-Remaining, X-RateLimit-Reset]`
type Figures = [&'static str; 4];

/// Steps of a session: microseconds since its begin, the status, and the figures.
async fn assert_session(policy: Policy, reset: LegacyReset, steps: &[(u64, u16, Figures)]) {
    const BEGIN: u64 = 1_800_000_000_000_000;
    let clock = ManualClock::new();
    let http = HttpOptions::new().headers(HeaderStyle::Both).legacy_reset(reset);
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let limiter = Limiter::builder(backend).http(http).build();
    let layer = RateLimitLayer::new(policy).key(Key::global());
    let app = app(layer, &limiter);
    for (micros, status, figures) in steps {
        clock.set_micros(BEGIN + micros);
        let response = send(&app, support::get("/")).await;
        assert_eq!(response.status(), *status, "at {micros}");
        let names = ["ratelimit", "retry-after", "x-ratelimit-remaining", "x-ratelimit-reset"];
        let found = names.map(|name| header(&response, name).unwrap_or("-"));
        assert_eq!(found, *figures, "at {micros}");
    }
}

/// 3 in any 60 s. A unit comes back 60 s after it was taken, and all of them 60 s after the
/// last one was.
#[tokio::test]
async fn a_session_of_one_quota_by_hand() {
    let policy = || Policy::new("p", Quota::new(3, Duration::from_secs(60)));
    let with = |resets: [&'static str; 8]| {
        let [a, b, c, d, e, f, g, h] = resets;
        [
            (0, 200, [r#""p";r=2;t=60"#, "-", "2", a]),
            // The first comes back at 60 s, in 49.5 s.
            (10_500_000, 200, [r#""p";r=1;t=50"#, "-", "1", b]),
            (20_000_000, 200, [r#""p";r=0;t=40"#, "-", "0", c]),
            (25_000_000, 429, [r#""p";r=0;t=35"#, "35", "0", d]),
            // A refusal has cost nothing; one microsecond is left.
            (59_999_999, 429, [r#""p";r=0;t=1"#, "1", "0", e]),
            // Taken at 10.5 s, 20 s and now: the next comes back in 10.5 s.
            (60_000_000, 200, [r#""p";r=0;t=11"#, "-", "0", f]),
            // Those of 10.5 s and 20 s are back; those of 60 s and now are not.
            (80_000_000, 200, [r#""p";r=1;t=40"#, "-", "1", g]),
            (140_000_000, 200, [r#""p";r=2;t=60"#, "-", "2", h]),
        ]
    };
    let epoch = with([
        "1800000060", // 0 + 60
        "1800000071", // 10.5 + 60
        "1800000080", // 20 + 60
        "1800000080",
        "1800000080",
        "1800000120", // 60 + 60
        "1800000140", // 80 + 60
        "1800000200", // 140 + 60
    ]);
    assert_session(policy(), LegacyReset::Epoch, &epoch).await;
    let delta = with(["60", "60", "60", "55", "21", "60", "60", "60"]);
    assert_session(policy(), LegacyReset::Delta, &delta).await;
}

/// 2 in any second and 3 in any 10 s: the older fields are of the one that is nearer to its
/// end, or refuses longer.
#[tokio::test]
async fn a_session_of_two_quotas_by_hand() {
    let policy = Policy::new("p", Quota::new(2, Duration::from_secs(1)))
        .and(Quota::new(3, Duration::from_secs(10)));
    let steps = [
        (0, 200, [r#""p-1s";r=1;t=1, "p-10s";r=2;t=10"#, "-", "1", "1"]),
        (500_000, 200, [r#""p-1s";r=0;t=1, "p-10s";r=1;t=10"#, "-", "0", "1"]),
        // The second is used up: half of it is left. The longer one would be told in vain.
        (600_000, 429, [r#""p-1s";r=0;t=1, "p-10s";r=1"#, "1", "0", "1"]),
        (1_000_000, 200, [r#""p-1s";r=0;t=1, "p-10s";r=0;t=9"#, "-", "0", "1"]),
        // Both refuse, the one for half a second, the other until 10 s.
        (1_200_000, 429, [r#""p-10s";r=0;t=9, "p-1s";r=0;t=1"#, "9", "0", "10"]),
        // Only the long one does; it is whole 10 s after the third was admitted.
        (2_000_000, 429, [r#""p-10s";r=0;t=8, "p-1s";r=2"#, "8", "0", "9"]),
        (10_000_000, 200, [r#""p-1s";r=1;t=1, "p-10s";r=0;t=1"#, "-", "0", "10"]),
        (30_000_000, 200, [r#""p-1s";r=1;t=1, "p-10s";r=2;t=10"#, "-", "1", "1"]),
    ];
    assert_session(policy, LegacyReset::Delta, &steps).await;
}

/// A bucket of 2 that fills by one in 10 s.
#[tokio::test]
async fn a_session_of_a_bucket_by_hand() {
    let quota = Quota::new(6, Duration::from_secs(60)).burst(2);
    let policy = Policy::new("p", quota).algorithm(Algorithm::TokenBucket);
    let steps = [
        (0, 200, [r#""p";r=1;t=10"#, "-", "1", "10"]),
        (1_000_000, 200, [r#""p";r=0;t=9"#, "-", "0", "19"]),
        (1_500_000, 429, [r#""p";r=0;t=9"#, "9", "0", "19"]),
        (9_999_999, 429, [r#""p";r=0;t=1"#, "1", "0", "11"]),
        (10_000_000, 200, [r#""p";r=0;t=10"#, "-", "0", "20"]),
        (100_000_000, 200, [r#""p";r=1;t=10"#, "-", "1", "10"]),
    ];
    assert_session(policy, LegacyReset::Delta, &steps).await;
}
