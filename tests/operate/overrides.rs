//! What an operator says of a policy instead of what the program says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use support::counts_kept::{counts_are_kept, policies};
use support::{FailingBackend, header, limiter, local, scaled, send};
use tollgate::testing::{ManualClock, scope};
use tollgate::{
    Algorithm, Key, Limiter, MemoryBackend, OnError, Override, Overrides, Policy, Quota, RateLimit,
    RateLimitLayer, RateLimited, Source, rate_limit,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// All three count by the same numbers.
#[rate_limit(3, per = minute, name = "handler", key = global)]
async fn handler(limit: RateLimit) -> String {
    limit.remaining().map_or("uncounted".to_owned(), |remaining| remaining.to_string())
}

#[rate_limit(3, per = minute, name = "function", key = args(who))]
async fn function(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(3, per = minute, name = "sync function", key = args(who))]
fn sync_function(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

const LAYER: Policy = Policy::new("layer", Quota::new(3, MINUTE));

#[rate_limit(2, per = second, name = "several", key = global)]
#[rate_limit(5, per = minute, key = global)]
async fn several() {}

fn app(limiter: &Limiter) -> Router {
    let layer = RateLimitLayer::new(LAYER).key(Key::global());
    let routes = Router::new()
        .route("/layer", get(|| async {}).layer(layer))
        .route("/handler", get(handler))
        .route("/several", get(several));
    local(routes, limiter)
}

/// How many of the next requests pass to each of handler, function, sync function and layer.
async fn admitted(limiter: &Limiter, tries: u32) -> [u32; 4] {
    let app = app(limiter);
    let mut admitted = [0; 4];
    for _ in 0..tries {
        let now = scope(limiter.clone(), async { sync_function("a").is_ok() });
        let passes = [
            send(&app, support::get("/handler")).await.status().is_success(),
            scope(limiter.clone(), function("a")).await.is_ok(),
            now.await,
            send(&app, support::get("/layer")).await.status().is_success(),
        ];
        admitted.iter_mut().zip(passes).for_each(|(count, passes)| *count += u32::from(passes));
    }
    admitted
}

fn everywhere(changes: &Override) -> Overrides {
    let names = ["handler", "function", "sync function", "layer"];
    names.iter().fold(Overrides::new(), |all, name| all.with(*name, changes.clone()))
}

fn still() -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    (Limiter::builder(backend).declare(LAYER).build(), clock)
}

#[tokio::test]
async fn each_number_is_overridden_everywhere() {
    let bucket = Override::new().algorithm(Algorithm::TokenBucket);
    let cases = [
        (Override::new(), [3, 0], "nothing"),
        (Override::new().limit(5), [5, 0], "limit"),
        (Override::new().limit(1), [1, 0], "a lower limit"),
        (Override::new().per(SECOND), [3, 3], "per"),
        (Override::new().limit(2).per(2 * SECOND), [2, 2], "limit and per"),
        (Override::new().quotas([Quota::new(4, MINUTE), Quota::new(6, HOUR)]), [4, 0], "quotas"),
        // One comes back in 20 s.
        (bucket.clone().per(6 * SECOND), [3, 1], "algorithm"),
        (bucket.clone().burst(7).per(6 * SECOND), [7, 1], "burst"),
        (Override::new().shadow(true), [10, 10], "shadow"),
        (Override::new().enabled(false), [10, 10], "enabled"),
        (Override::new().enabled(true), [3, 0], "enabled all the same"),
    ];
    for (changes, expected, what) in cases {
        let (limiter, clock) = still();
        limiter.set_overrides(everywhere(&changes)).unwrap();
        for expected in expected {
            assert_eq!(admitted(&limiter, 10).await, [expected; 4], "{what}");
            clock.advance(2 * SECOND);
        }
        // What is taken away leaves the program's own; the window of a minute is past.
        clock.advance(2 * HOUR);
        limiter.set_overrides(Overrides::new()).unwrap();
        assert_eq!(admitted(&limiter, 10).await, [3; 4], "{what}, taken away");
    }
}

#[tokio::test]
async fn on_error_is_overridden_everywhere() {
    let limiter = Limiter::builder(FailingBackend).breaker(None).declare(LAYER).build();
    // A function that is not async cannot wait for this backend, whatever its limit says.
    assert_eq!(admitted(&limiter, 1).await, [0, 0, 0, 0]);
    limiter.set_overrides(everywhere(&Override::new().on_error(OnError::Open))).unwrap();
    assert_eq!(admitted(&limiter, 1).await, [1, 1, 0, 1]);
    let local = everywhere(&Override::new().on_error(OnError::Local));
    let error = limiter.set_overrides(local.clone()).unwrap_err();
    assert_eq!(error.mistakes().len(), 4);
    assert_eq!(error.mistakes()[0].key(), Some("on_error"));
    assert!(error.to_string().contains("instances"), "{error}");
    let limiter =
        Limiter::builder(FailingBackend).breaker(None).declare(LAYER).instances(1).build();
    limiter.set_overrides(local).unwrap();
    assert_eq!(admitted(&limiter, 5).await, [3, 3, 0, 3]);
}

#[tokio::test]
async fn clients_and_handlers_see_the_policy_that_is_kept() {
    let (limiter, _clock) = still();
    let app = app(&limiter);
    for (changes, field, remaining) in [
        (None, r#""handler";q=3;w=60"#, "2"),
        (Some(Override::new().limit(9)), r#""handler";q=9;w=60"#, "7"),
        (Some(Override::new().limit(9).per(HOUR)), r#""handler";q=9;w=3600"#, "6"),
    ] {
        let changes = changes.map(|changes| Overrides::new().with("handler", changes));
        limiter.set_overrides(changes.unwrap_or_default()).unwrap();
        let response = send(&app, support::get("/handler")).await;
        assert_eq!(header(&response, "ratelimit-policy"), Some(field));
        assert!(header(&response, "ratelimit").unwrap().contains(&format!("r={remaining}")));
        assert_eq!(support::text(response).await, remaining);
    }
    // A refusal says what is reached, too.
    let changes = Override::new().limit(2).per(MINUTE);
    limiter.set_overrides(Overrides::new().with("handler", changes)).unwrap();
    let refused = send(&app, support::get("/handler")).await;
    assert_eq!(header(&refused, "ratelimit-policy"), Some(r#""handler";q=2;w=60"#));
    assert!(support::text(refused).await.contains("Limit of 2 per 60s reached"));
    // What is not in force is not shown.
    let off = Overrides::new().with("handler", Override::new().enabled(false));
    limiter.set_overrides(off).unwrap();
    let response = send(&app, support::get("/handler")).await;
    assert_eq!(header(&response, "ratelimit-policy"), None);
    assert_eq!(support::text(response).await, "uncounted");
}

#[tokio::test]
async fn an_annotated_shadow_can_be_made_to_refuse() {
    #[rate_limit(1, per = minute, name = "quiet", key = global, shadow)]
    async fn quiet() {}
    let (limiter, _clock) = limiter();
    let app = local(Router::new().route("/", get(quiet)), &limiter);
    let statuses = async || {
        let first = send(&app, support::get("/")).await.status().as_u16();
        [first, send(&app, support::get("/")).await.status().as_u16()]
    };
    assert_eq!(statuses().await, [200, 200]);
    limiter.set_overrides(Overrides::new().with("quiet", Override::new().shadow(false))).unwrap();
    assert_eq!(statuses().await, [429, 429]);
}

#[tokio::test]
async fn direct_checks_go_by_them() {
    let (limiter, _clock) = still();
    limiter.set_overrides(everywhere(&Override::new().limit(1))).unwrap();
    let first = limiter.check(&LAYER, "a").await.unwrap();
    assert!(first.is_allowed());
    assert!(!limiter.peek(&LAYER, "a", 1).await.unwrap().is_allowed());
    assert!(!limiter.check_now(&LAYER, "a", 1).unwrap().unwrap().is_allowed());
    assert!(limiter.refund(first).await.unwrap());
    assert!(limiter.check(&LAYER, "a").await.unwrap().is_allowed());
    limiter.set_overrides(everywhere(&Override::new().enabled(false))).unwrap();
    for decision in [
        limiter.check(&LAYER, "a").await.unwrap(),
        limiter.check_now(&LAYER, "a", 1).unwrap().unwrap(),
        limiter.peek(&LAYER, "a", 1).await.unwrap(),
        limiter.wait(&LAYER, "a", 1, SECOND).await.unwrap(),
    ] {
        assert_eq!((decision.is_allowed(), decision.source()), (true, Source::Disabled));
        // There is nothing to give back.
        assert!(!limiter.refund(decision).await.unwrap());
    }
    limiter.set_overrides(everywhere(&Override::new().limit(1))).unwrap();
    assert!(!limiter.check(&LAYER, "a").await.unwrap().is_allowed());
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_taken() {
    let (limiter, _clock) = still();
    let kept = Overrides::new().with("layer", Override::new().limit(2));
    limiter.set_overrides(kept.clone()).unwrap();
    let bucket = Override::new().algorithm(Algorithm::Gcra);
    let four = [Quota::new(1, SECOND); 5];
    let cases = [
        ("layr", Override::new(), None, "did you mean `layer`?"),
        ("nonsense", Override::new(), None, "`function`, `handler`"),
        ("layer", Override::new().limit(0).block(false), Some("limit"), "a limit of 0 blocks"),
        ("layer", Override::new().limit(u32::MAX), Some("limit"), "lower the limit"),
        ("layer", Override::new().limit(9).per(Duration::ZERO), Some("per"), "longer than zero"),
        ("layer", Override::new().per(400 * 24 * HOUR), Some("per"), "at most 366 days"),
        ("layer", Override::new().burst(2), Some("burst"), "no bucket"),
        ("layer", bucket.clone().burst(0), Some("burst"), "at least 1"),
        ("layer", bucket.burst(u32::MAX), Some("burst"), "lower the burst"),
        ("layer", Override::new().quotas([]), Some("quotas"), "1 to 4 quotas, not 0"),
        ("layer", Override::new().quotas(four), Some("quotas"), "not 5"),
        ("layer", Override::new().quotas([four[0]]).per(SECOND), Some("per"), "says it all"),
        ("several", Override::new().limit(1), Some("limit"), "(2 per 1s, 5 per 60s)"),
        ("layer", Override::new().quotas([four[0].burst(2)]), Some("algorithm"), "no bucket"),
    ];
    for (name, changes, key, remedy) in cases {
        // What is right beside it is not taken either.
        let overrides = Overrides::new().with("handler", Override::new().limit(1));
        let error = limiter.set_overrides(overrides.with(name, changes)).unwrap_err();
        let [mistake] = error.mistakes() else { panic!("{error}") };
        assert_eq!((mistake.policy(), mistake.key()), (name, key), "{error}");
        assert!(mistake.reason().contains(remedy), "{error}");
        assert_eq!(limiter.overrides(), kept);
    }
}

#[tokio::test]
async fn counts_are_kept_in_memory() {
    let clock = ManualClock::new();
    for policy in policies() {
        let backend = MemoryBackend::builder().clock(clock.clone()).build();
        let limiter = Limiter::builder(backend).declare(policy.clone()).build();
        counts_are_kept(&limiter, &policy).await;
    }
}

/// While overrides come and go, each check is judged by one of them, whole.
#[test]
fn swapped_under_load() {
    let (limiter, clock) = still();
    let done = Arc::new(AtomicBool::new(false));
    let [low, high] = [40, 90];
    let rounds = scaled(200, 5_000);
    std::thread::scope(|threads| {
        let (swapped, swaps) = (limiter.clone(), Arc::clone(&done));
        threads.spawn(move || {
            for limit in [low, high].into_iter().cycle() {
                let changes = Override::new().quotas([Quota::new(limit, MINUTE)]);
                swapped.set_overrides(everywhere(&changes)).unwrap();
                if swaps.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        for _ in 0..rounds {
            let admitted = AtomicU32::new(0);
            std::thread::scope(|threads| {
                for _ in 0..3 {
                    threads.spawn(|| {
                        for _ in 0..60 {
                            let decision = limiter.check_now(&LAYER, "s", 1).unwrap().unwrap();
                            assert!(decision.remaining() < high);
                            admitted.fetch_add(u32::from(decision.is_allowed()), Ordering::Relaxed);
                        }
                    });
                }
            });
            // At the very first there may be no override yet, whose limit is 3.
            let admitted = admitted.into_inner();
            assert!((3..=high).contains(&admitted), "{admitted}");
            clock.advance(2 * MINUTE);
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// Who waits does so for the limit that there is when the turn comes.
#[tokio::test]
async fn who_waits_is_judged_by_what_there_is_then() {
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let limiter = Limiter::builder(backend).clock(clock.clone()).declare(LAYER).build();
    for _ in 0..3 {
        assert!(limiter.check(&LAYER, "s").await.unwrap().is_allowed());
    }
    let waiting = limiter.clone();
    let wait = tokio::spawn(async move { waiting.wait(&LAYER, "s", 1, HOUR).await });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    limiter.set_overrides(everywhere(&Override::new().limit(4).per(HOUR))).unwrap();
    // The turn comes by the earlier limit, and by the later one there is room, too; under the
    // earlier it would have left two.
    clock.advance(MINUTE);
    let decision = wait.await.unwrap().unwrap();
    assert!(decision.is_allowed());
    assert_eq!(decision.quotas().len(), 1);
    assert!(decision.remaining() <= 3, "{}", decision.remaining());
}

/// As when a dashboard's users change different limits at a time.
#[test]
fn of_changes_at_the_same_time_none_is_lost() {
    let policies = (0..8).map(|number| Policy::named(number.to_string(), Quota::new(1, SECOND)));
    let limiter = policies
        .clone()
        .fold(Limiter::builder(MemoryBackend::new()), |builder, policy| builder.declare(policy));
    let limiter = limiter.build();
    std::thread::scope(|threads| {
        for policy in policies {
            let limiter = &limiter;
            threads.spawn(move || {
                for limit in 1..=scaled(50, 1_000) {
                    let changes = Override::new().limit(limit);
                    let update = |all: Overrides| all.with(policy.name(), changes);
                    limiter.update_overrides(update).unwrap();
                }
            });
        }
    });
    let last = Override::new().limit(scaled(50, 1_000));
    assert_eq!(limiter.overrides().iter().filter(|(_, changes)| **changes == last).count(), 8);
}
