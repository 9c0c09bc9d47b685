//! Overrides of subjects that an async function finds: by attribute, by layer, in functions and by
//! `Limiter::check`. The function sees the request where there is one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::get;
use support::log::Log;
use support::redis::RedisServer;
use support::{FailingBackend, header, local, send, status};
use tokio::task::yield_now;
use tollgate::overrides::SubjectLookup;
use tollgate::testing::{ManualClock, scope};
use tollgate::{
    Key, Limiter, LimiterBuilder, MemoryBackend, OnError, Outcome, Override, Overrides, PerSubject,
    Policy, Quota, RateLimitLayer, RateLimited, RedisBackend, Subject, rate_limit,
};
use tracing::Level;

const MINUTE: Duration = Duration::from_secs(60);
const LIMIT: Policy = Policy::new("awaited", Quota::per_minute(2));

#[rate_limit(2, per = minute, key = header("x-key"), group = "awaited")]
async fn handler() {}

#[rate_limit(2, per = minute, key = args(who), group = "awaited")]
async fn function(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(2, per = minute, key = args(who), group = "awaited")]
fn plain_function(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

/// The ways on which the function is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Attribute,
    Layer,
    Function,
    Check,
}

const WAYS: [Way; 4] = [Way::Attribute, Way::Layer, Way::Function, Way::Check];

impl Way {
    fn has_request(self) -> bool {
        matches!(self, Self::Attribute | Self::Layer)
    }

    async fn ask(self, limiter: &Limiter, customer: &str) -> StatusCode {
        self.ask_by(limiter, customer, LIMIT).await
    }

    /// Asks by a policy, which the attributes have as it is.
    async fn ask_by(self, limiter: &Limiter, customer: &str, policy: Policy) -> StatusCode {
        let request = || Request::get("/").header("x-key", customer).body(Body::empty()).unwrap();
        let router = match self {
            Self::Attribute => Router::new().route("/", get(handler)),
            Self::Layer => Router::new()
                .route("/", get(async || ()))
                .layer(RateLimitLayer::new(policy).key(Key::header("x-key"))),
            Self::Function => {
                let called = scope(limiter.clone(), function(customer)).await;
                return called
                    .map_or_else(|error| error.into_response().status(), |()| StatusCode::OK);
            }
            Self::Check => {
                let decision = match limiter.check(&policy, customer).await {
                    Ok(decision) => decision.into_result(),
                    Err(error) => Err(error.into()),
                };
                return decision
                    .map_or_else(|error| error.into_response().status(), |_| StatusCode::OK);
            }
        };
        status(&local(router, limiter), request()).await
    }

    /// How many of so many requests are admitted.
    async fn admitted(self, limiter: &Limiter, customer: &str, tries: u32) -> u32 {
        let mut admitted = 0;
        for _ in 0..tries {
            admitted += u32::from(self.ask(limiter, customer).await == StatusCode::OK);
        }
        admitted
    }
}

/// The plans: a number of requests in a minute, `out`, `lost` for one that cannot be found, or none.
#[derive(Clone, Default)]
struct Plans {
    of_all: Arc<Mutex<String>>,
    asked: Arc<AtomicU32>,
    /// If there was a request, the customer by its header.
    seen: Arc<Mutex<Vec<Option<String>>>>,
}

impl Plans {
    fn set(&self, plan: &str) {
        plan.clone_into(&mut self.of_all.lock().unwrap());
    }

    fn asked(&self) -> u32 {
        self.asked.swap(0, Ordering::SeqCst)
    }

    fn per_subject(&self) -> PerSubject {
        let plans = self.clone();
        PerSubject::awaiting(move |lookup: SubjectLookup<'_>| {
            assert_eq!(lookup.policy().name(), "awaited");
            plans.asked.fetch_add(1, Ordering::SeqCst);
            let customer = lookup.request().map(|parts| parts.headers["x-key"].to_str().unwrap());
            plans.seen.lock().unwrap().push(customer.map(ToOwned::to_owned));
            let plan = plans.of_all.lock().unwrap().clone();
            async move {
                yield_now().await;
                match &*plan {
                    "" => Ok(None),
                    "out" => Ok(Some(Override::new().quotas([Quota::BLOCKED]))),
                    "lost" => Err("the plans are away"),
                    number => Ok(Some(Override::new().limit(number.parse().unwrap()))),
                }
            }
        })
    }

    fn builder(&self, max_age: Duration) -> (LimiterBuilder, ManualClock) {
        let clock = ManualClock::new();
        let backend = MemoryBackend::builder().clock(clock.clone()).build();
        let builder = Limiter::builder(backend).clock(clock.clone()).declare(LIMIT);
        (builder.per_subject(self.per_subject().max_age(max_age)), clock)
    }

    fn limiter(&self, max_age: Duration) -> (Limiter, ManualClock) {
        let (builder, clock) = self.builder(max_age);
        (builder.build(), clock)
    }
}

#[tokio::test]
async fn each_way_has_the_quota_of_the_plan() {
    for way in WAYS {
        let plans = Plans::default();
        let (limiter, clock) = plans.limiter(Duration::ZERO);
        for (plan, admitted) in [("", 2), ("1", 1), ("7", 7), ("out", 0)] {
            plans.set(plan);
            let customer = format!("of {plan}");
            assert_eq!(way.admitted(&limiter, &customer, 9).await, admitted, "{way:?} {plan}");
        }
        assert_eq!(way.ask(&limiter, "of out").await, StatusCode::FORBIDDEN, "{way:?}");
        // What was used is kept when the plan changes.
        for (plan, admitted) in [("3", 3), ("5", 2), ("4", 0), ("out", 0), ("6", 1)] {
            plans.set(plan);
            assert_eq!(way.admitted(&limiter, "moves", 9).await, admitted, "{way:?} {plan}");
        }
        clock.advance(MINUTE);
        plans.set("");
        assert_eq!(way.admitted(&limiter, "moves", 9).await, 2, "{way:?}");
    }
}

#[tokio::test]
async fn the_request_is_seen_where_there_is_one() {
    for way in WAYS {
        let plans = Plans::default();
        let (limiter, _clock) = plans.limiter(MINUTE);
        way.ask(&limiter, "alice").await;
        let seen = way.has_request().then(|| "alice".to_owned());
        assert_eq!(*plans.seen.lock().unwrap(), [seen], "{way:?}");
    }
}

#[tokio::test]
async fn an_answer_is_remembered_until_it_is_too_old() {
    for way in WAYS {
        let plans = Plans::default();
        let (limiter, clock) = plans.limiter(MINUTE);
        plans.set("4");
        assert_eq!(way.admitted(&limiter, "a", 3).await, 3);
        assert_eq!(plans.asked(), 1, "{way:?}");
        way.ask(&limiter, "b").await;
        assert_eq!(plans.asked(), 1, "{way:?}");
        plans.set("1");
        clock.advance(MINUTE - Duration::from_micros(1));
        way.ask(&limiter, "a").await;
        assert_eq!(plans.asked(), 0, "{way:?}");
        clock.advance(Duration::from_micros(1));
        assert_eq!(way.ask(&limiter, "a").await, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(plans.asked(), 1, "{way:?}");
        // An override of the policy is applied before what is remembered, without another look.
        let overrides = Overrides::new().with("awaited", Override::new().per(2 * MINUTE));
        limiter.set_overrides(overrides).unwrap();
        assert_eq!(way.ask(&limiter, "a").await, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(plans.asked(), 0, "{way:?}");
    }
}

#[tokio::test]
async fn an_error_does_what_on_error_says_and_is_not_remembered() {
    for (mode, name) in
        [(OnError::Closed, "closed"), (OnError::Open, "open"), (OnError::Local, "local")]
    {
        for way in WAYS {
            let (log, _guard) = Log::of_this_thread(Level::ERROR);
            let plans = Plans::default();
            let (builder, _clock) = plans.builder(MINUTE);
            let limiter = builder.on_error(mode).build();
            plans.set("lost");
            let first = way.ask(&limiter, "a").await;
            let others = way.admitted(&limiter, "a", 9).await;
            let expected = match mode {
                OnError::Closed => (StatusCode::SERVICE_UNAVAILABLE, 0),
                OnError::Open => (StatusCode::OK, 9),
                // By the quota of the policy.
                _ => (StatusCode::OK, 1),
            };
            assert_eq!((first, others), expected, "{name} {way:?}");
            assert_eq!(plans.asked(), 10);
            let text = log.text();
            let said = format!(
                "the function of `PerSubject` failed; the limit does what its `on_error` says: {name}"
            );
            assert!(text.contains(&said), "{text}");
            assert!(text.contains("the plans are away"), "{text}");
            // It was no outage of the store.
            assert!(!text.contains("backend fails"), "{text}");
            plans.set("7");
            let left = if mode == OnError::Local { 5 } else { 7 };
            assert_eq!(way.admitted(&limiter, "a", 9).await, left, "{name} {way:?}");
        }
    }
}

/// The mode of the policy comes before the limiter's, and a limit that only looks refuses nobody.
#[tokio::test]
async fn the_policys_own_mode_counts() {
    for way in [Way::Layer, Way::Check] {
        let plans = Plans::default();
        let (limiter, _clock) = plans.limiter(MINUTE);
        plans.set("lost");
        let open = LIMIT.on_error(OnError::Open);
        assert_eq!(way.ask_by(&limiter, "a", open).await, StatusCode::OK);
        let overrides = Overrides::new().with("awaited", Override::new().shadow(true));
        limiter.set_overrides(overrides).unwrap();
        assert_eq!(way.ask(&limiter, "b").await, StatusCode::OK, "{way:?}");
    }
}

/// Beside a store that is away, `local` counts by the plan, and by the policy if there is no plan.
#[tokio::test]
async fn beside_a_store_that_is_away() {
    for way in WAYS {
        let plans = Plans::default();
        let limiter = Limiter::builder(FailingBackend)
            .instances(1)
            .on_error(OnError::Local)
            .per_subject(plans.per_subject())
            .build();
        for (plan, admitted) in [("4", 4), ("lost", 2), ("out", 0)] {
            plans.set(plan);
            assert_eq!(way.admitted(&limiter, plan, 9).await, admitted, "{way:?} {plan}");
        }
    }
}

/// Those who cannot wait know what is remembered, and otherwise have done nothing.
#[tokio::test]
async fn who_cannot_wait_does_not_ask() {
    let plans = Plans::default();
    let (limiter, _clock) = plans.limiter(MINUTE);
    plans.set("3");
    assert!(limiter.check_now(&LIMIT, "a", 1).is_none());
    let call = || scope(limiter.clone(), async { plain_function("a") });
    let error = call().await.unwrap_err();
    assert!(error.to_string().contains("make the function async"), "{error}");
    assert_eq!(plans.asked(), 0);
    assert_eq!(limiter.check(&LIMIT, "a").await.unwrap().remaining(), 2);
    assert_eq!(limiter.check_now(&LIMIT, "a", 1).unwrap().unwrap().remaining(), 1);
    call().await.unwrap();
    assert!(call().await.is_err());
    assert_eq!(plans.asked(), 1);
}

/// Looks see the plan; what needs no number does not ask for it.
#[tokio::test]
async fn looks_ask_and_resets_and_bans_do_not() {
    let plans = Plans::default();
    let (limiter, _clock) = plans.limiter(MINUTE);
    plans.set("3");
    limiter.reset(&LIMIT, "a").await.unwrap();
    limiter.ban(&LIMIT, "b", MINUTE).await.unwrap();
    assert!(limiter.unban(&LIMIT, "b").await.unwrap());
    assert_eq!(plans.asked(), 0);
    assert_eq!(limiter.peek(&LIMIT, "a", 1).await.unwrap().remaining(), 3);
    assert_eq!(plans.asked(), 1);
    plans.set("lost");
    assert!(limiter.peek(&LIMIT, "c", 1).await.is_err());
    limiter.ban(&LIMIT, "a", MINUTE).await.unwrap();
    let banned = limiter.check(&LIMIT, "a").await.unwrap().outcome();
    assert!(matches!(banned, Outcome::Banned { .. }), "{banned:?}");
    limiter.reset(&LIMIT, "a").await.unwrap();
    assert_eq!(limiter.check(&LIMIT, "a").await.unwrap().remaining(), 2);
}

/// A subject that is named has its override without a question.
#[tokio::test]
async fn a_named_subject_is_not_asked_for() {
    let plans = Plans::default();
    let per_subject = plans.per_subject().with("awaited", "a", Override::new().limit(5));
    let key = Subject::header("x-key", "b");
    let per_subject = per_subject.with("awaited", key, Override::new().block(true));
    let limiter = Limiter::builder(MemoryBackend::new()).per_subject(per_subject).build();
    assert_eq!(Way::Check.admitted(&limiter, "a", 9).await, 5);
    assert_eq!(Way::Attribute.ask(&limiter, "b").await, StatusCode::FORBIDDEN);
    assert_eq!(plans.asked(), 0);
    assert_eq!(Way::Attribute.admitted(&limiter, "c", 9).await, 2);
    assert_eq!(plans.asked(), 1);
}

/// A caller that goes while the plan is looked up is not charged.
#[tokio::test]
async fn who_goes_during_the_look_up_is_not_charged() {
    for way in WAYS {
        let plans = Plans::default();
        let (limiter, _clock) = plans.limiter(MINUTE);
        plans.set("2");
        {
            let mut ask = Box::pin(way.ask(&limiter, "a"));
            let first = std::future::poll_fn(|context| {
                std::task::Poll::Ready(ask.as_mut().poll(context).is_ready())
            });
            assert!(!first.await);
        }
        assert_eq!(plans.asked(), 1);
        assert_eq!(way.admitted(&limiter, "a", 9).await, 2, "{way:?}");
    }
}

/// Who waits does so by the plan, and hears of a new one when the last answer is too old.
#[tokio::test]
async fn who_waits_does_so_by_the_plan() {
    #[rate_limit(2, per = minute, key = header("x-key"), wait = "10m", group = "awaited in line")]
    async fn handler() {}
    #[rate_limit(2, per = minute, key = args(who), wait = "10m", group = "awaited in line")]
    async fn function(who: &str) -> Result<(), RateLimited> {
        Ok(())
    }
    let turns = async || {
        for _ in 0..50 {
            yield_now().await;
        }
    };
    for by_request in [true, false] {
        let limit = Arc::new(AtomicU32::new(4));
        let of_all = Arc::clone(&limit);
        let plans = PerSubject::awaiting(move |lookup: SubjectLookup<'_>| {
            assert_eq!(lookup.request().is_some(), by_request);
            let limit = of_all.load(Ordering::SeqCst);
            async move {
                yield_now().await;
                Some(Override::new().limit(limit))
            }
        });
        let clock = ManualClock::new();
        let backend = MemoryBackend::builder().clock(clock.clone()).build();
        let plans = plans.max_age(Duration::from_secs(5));
        let limiter = Limiter::builder(backend).clock(clock.clone()).per_subject(plans).build();
        let router = local(Router::new().route("/", get(handler)), &limiter);
        let ask = || {
            let (router, limiter) = (router.clone(), limiter.clone());
            tokio::spawn(async move {
                if by_request {
                    let request =
                        Request::get("/").header("x-key", "a").body(Body::empty()).unwrap();
                    return send(&router, request).await.status() == StatusCode::OK;
                }
                scope(limiter, function("a")).await.is_ok()
            })
        };
        for _ in 0..4 {
            assert!(ask().await.unwrap());
        }
        let fifth = ask();
        turns().await;
        clock.advance(Duration::from_secs(4));
        turns().await;
        assert!(!fifth.is_finished());
        limit.store(5, Ordering::SeqCst);
        clock.advance(Duration::from_secs(1));
        turns().await;
        assert!(fifth.is_finished(), "{by_request}");
        assert!(fifth.await.unwrap());
    }
}

static KEYS: AtomicU32 = AtomicU32::new(0);

fn customer(parts: &axum::http::request::Parts) -> String {
    KEYS.fetch_add(1, Ordering::SeqCst);
    parts.headers["x-key"].to_str().unwrap().to_owned()
}

/// Key functions and exemptions are asked once, also if the plan is awaited; what is exempt has no plan.
#[tokio::test]
async fn all_else_is_asked_once() {
    fn is_exempt(parts: &axum::http::request::Parts) -> bool {
        parts.headers["x-key"] == "staff"
    }
    #[rate_limit(2, per = minute, key = self::customer, exempt = is_exempt, group = "awaited")]
    async fn keyed() {}
    let plans = Plans::default();
    let (limiter, _clock) = plans.limiter(Duration::ZERO);
    plans.set("4");
    let router = local(Router::new().route("/", get(keyed)), &limiter);
    let request = |name: &str| Request::get("/").header("x-key", name).body(Body::empty()).unwrap();
    for asked in 1..=4 {
        let response = send(&router, request("a")).await;
        assert!(header(&response, "ratelimit-policy").unwrap().contains("q=4"));
        assert_eq!(KEYS.load(Ordering::SeqCst), asked);
        assert_eq!(plans.asked(), 1);
    }
    assert_eq!(status(&router, request("staff")).await, StatusCode::OK);
    assert_eq!(plans.asked(), 0);
}

/// Async functions in all the forms in which they are written.
#[tokio::test]
async fn functions_in_every_form() {
    async fn certain(_: SubjectLookup<'_>) -> Option<Override> {
        Some(Override::new().limit(3))
    }
    async fn fallible(lookup: SubjectLookup<'_>) -> Result<Option<Override>, std::io::Error> {
        yield_now().await;
        Ok((!lookup.subject().is_empty()).then(|| Override::new().limit(3)))
    }
    for per_subject in [
        PerSubject::awaiting(certain),
        PerSubject::awaiting(fallible),
        PerSubject::awaiting(async |_: SubjectLookup<'_>| Some(Override::new().limit(3))),
        PerSubject::awaiting(async |lookup: SubjectLookup<'_>| {
            yield_now().await;
            (!lookup.subject().is_empty()).then(|| Override::new().limit(3))
        }),
    ] {
        for way in WAYS {
            let limiter = Limiter::builder(MemoryBackend::new()).per_subject(per_subject.clone());
            assert_eq!(way.admitted(&limiter.build(), "a", 9).await, 3, "{way:?}");
        }
    }
}

#[tokio::test]
async fn on_redis_too() {
    let server = RedisServer::start();
    for (index, way) in WAYS.into_iter().enumerate() {
        let plans = Plans::default();
        let backend = RedisBackend::builder(&server.url()).key_prefix(index.to_string());
        let backend = backend.deadline(MINUTE).build().unwrap();
        let per_subject = plans.per_subject().max_age(Duration::ZERO);
        let limiter = Limiter::builder(backend).per_subject(per_subject).build();
        for (plan, admitted) in [("3", 3), ("5", 2), ("4", 0), ("out", 0), ("lost", 0), ("6", 1)] {
            plans.set(plan);
            assert_eq!(way.admitted(&limiter, "moves", 9).await, admitted, "{way:?} {plan}");
        }
    }
}
