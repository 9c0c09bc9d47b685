//! Overrides of single subjects that cannot be applied: the subject gets no more than the policy
//! allows, and no more than the override could mean, and the mistake is logged.

use std::time::Duration;

use proptest::option;
use proptest::prelude::*;
use support::log::Log;
use tollgate::testing::{ManualClock, scope};
use tollgate::{
    Algorithm, Limiter, LimiterBuilder, MemoryBackend, OnError, Outcome, Override, Overrides,
    PerSubject, Policy, Quota, RateLimited, rate_limit,
};
use tracing::Level;

const MILLI: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3_600);

const FIVE: Policy = Policy::new("five", Quota::new(5, MINUTE));

fn builder(clock: &ManualClock) -> LimiterBuilder {
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    Limiter::builder(backend).clock(clock.clone())
}

/// A limiter whose only subject has this override.
fn overriding(changes: Override, clock: &ManualClock) -> Limiter {
    builder(clock).per_subject(PerSubject::new(move |_, _| Some(changes.clone()))).build()
}

/// The number of requests that are admitted after each pause, if 30 are made.
fn admitted(
    limiter: &Limiter,
    policy: &Policy,
    clock: &ManualClock,
    pauses: &[Duration],
) -> Vec<u32> {
    let burst = || {
        let admits = |_: &u32| {
            limiter.check_now(policy, "s", 1).unwrap().is_ok_and(|decision| decision.is_allowed())
        };
        (0..30).filter(admits).count() as u32
    };
    let after = |pause: &Duration| {
        clock.advance(*pause);
        burst()
    };
    pauses.iter().map(after).collect()
}

/// `true` if an override of the whole policy is refused, so that it is an error of its author's.
fn is_invalid(policy: &Policy, changes: &Override) -> bool {
    let limiter = Limiter::builder(MemoryBackend::new()).declare(policy.clone()).build();
    limiter.set_overrides(Overrides::new().with(policy.name(), changes.clone())).is_err()
}

#[test]
fn each_gets_the_narrower_and_is_told() {
    let set = Override::new;
    let quota = |limit| Quota::new(limit, MINUTE);
    // The override, how many requests it admits at once and in the four hours after, one in each
    // minute.
    let rows = [
        // Nothing.
        (set().limit(0).enabled(false), 0, 0),
        (set().limit(0).enabled(false).shadow(true), 0, 0),
        (set().block(true).enabled(false), 0, 0),
        (set().block(true).burst(9), 0, 0),
        (set().limit(0).block(false), 0, 0),
        (set().limit(0).per(MILLI).burst(9), 0, 0),
        (set().algorithm(Algorithm::TokenBucket).burst(0), 0, 0),
        // A period that cannot be: the nearest that can, besides the policy's own.
        (set().per(Duration::ZERO), 5, 239),
        (set().limit(3).per(Duration::ZERO), 3, 239),
        (set().limit(3).per(Duration::from_nanos(1)), 3, 239),
        (set().limit(3).per(MINUTE + Duration::from_nanos(1)), 3, 238),
        (set().limit(9).per(MINUTE + Duration::from_nanos(1)), 5, 239),
        (set().limit(9).per(400 * DAY), 4, 0),
        (set().limit(1).per(400 * DAY), 0, 0),
        (set().per(Duration::MAX), 0, 0),
        (set().limit(90_000_000).per(MINUTE), 5, 239),
        (set().limit(u32::MAX), 5, 239),
        // A burst where there is no bucket bounds what is admitted at once.
        (set().burst(3), 3, 239),
        (set().burst(9), 5, 239),
        (set().limit(2).burst(9), 2, 239),
        (set().algorithm(Algorithm::FixedWindow).burst(2), 2, 239),
        // Quotas that are none, too many, or said twice.
        (set().quotas([]), 5, 239),
        (set().quotas([quota(3)]).limit(4), 3, 239),
        (set().quotas([quota(4)]).limit(3), 3, 239),
        (set().quotas([1, 2, 3, 4, 9].map(quota)), 1, 239),
        (set().quotas([1, 2, 3, 4, 5].map(|hours| Quota::new(4, 60 * hours * MINUTE))), 4, 0),
    ];
    for (changes, at_once, later) in rows {
        assert!(is_invalid(&FIVE, &changes), "{changes}");
        let (log, _guard) = Log::of_this_thread(Level::ERROR);
        let clock = ManualClock::new();
        let limiter = overriding(changes.clone(), &clock);
        let minutes = [MINUTE; 239];
        assert_eq!(admitted(&limiter, &FIVE, &clock, &[Duration::ZERO]), [at_once], "{changes}");
        let one = |_: &&Duration| {
            clock.advance(MINUTE);
            limiter.check_now(&FIVE, "s", 1).unwrap().unwrap().is_allowed()
        };
        assert_eq!(minutes.iter().filter(one).count(), later, "{changes}");
        let text = log.text();
        assert_eq!(text.matches("a subject's override is invalid").count(), 1, "{changes}: {text}");
        assert!(text.contains("five") && text.contains(&changes.to_string()), "{changes}: {text}");
    }
}

/// One setting for a policy of several quotas could mean each of them.
#[test]
fn a_single_setting_narrows_each_quota() {
    let policy = Policy::new("two", Quota::new(5, MINUTE)).and(Quota::new(8, 60 * MINUTE));
    for (changes, expected) in [
        (Override::new().limit(3), [3, 0]),
        (Override::new().limit(6), [5, 1]),
        (Override::new().limit(0).enabled(false), [0, 0]),
        (Override::new().per(2 * MINUTE), [5, 0]),
    ] {
        assert!(is_invalid(&policy, &changes), "{changes}");
        let clock = ManualClock::new();
        let limiter = overriding(changes.clone(), &clock);
        let pauses = [Duration::ZERO, MINUTE];
        assert_eq!(admitted(&limiter, &policy, &clock, &pauses), expected, "{changes}");
    }
}

#[rate_limit(5, per = minute, name = "invalid_overrides::function", key = args(who))]
async fn function(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(5, per = minute, name = "invalid_overrides::waits", key = args(who), wait = "1h")]
async fn waits(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

/// A subject whose limit is 0 is blocked by each way to ask, and has no time to wait for.
#[tokio::test]
async fn a_limit_of_zero_blocks() {
    let clock = ManualClock::new();
    let limiter = overriding(Override::new().limit(0), &clock);
    for cost in [0, 1, 5, 6] {
        let decisions = [
            limiter.check_cost(&FIVE, "s", cost).await.unwrap(),
            limiter.check_now(&FIVE, "s", cost).unwrap().unwrap(),
            limiter.peek(&FIVE, "s", cost).await.unwrap(),
            limiter.wait(&FIVE, "s", cost, 60 * MINUTE).await.unwrap(),
        ];
        for decision in decisions {
            let seen = (decision.outcome(), decision.is_allowed(), decision.retry_after());
            assert_eq!(seen, (Outcome::Blocked, false, None), "{cost}");
            assert!(!limiter.refund(decision).await.unwrap());
        }
    }
    let refused = [
        scope(limiter.clone(), function("s")).await.unwrap_err(),
        scope(limiter, waits("s")).await.unwrap_err(),
    ];
    for limited in refused {
        let decision = limited.decision().unwrap();
        assert_eq!((decision.outcome(), limited.retry_after()), (Outcome::Blocked, None));
    }
}

/// A cost that no override admits is refused for ever, not let through.
#[test]
fn a_cost_above_the_override_never_passes() {
    let clock = ManualClock::new();
    let limiter = overriding(Override::new().limit(3), &clock);
    let decision = limiter.check_now(&FIVE, "s", 4).unwrap().unwrap();
    assert_eq!(decision.outcome(), Outcome::Never);
}

/// Once the data are mended, the override applies, and what was counted before still counts.
#[test]
fn counts_are_kept() {
    let clock = ManualClock::new();
    let limit = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let now = limit.clone();
    let plans = PerSubject::new(move |_, subject| {
        let limit = now.load(std::sync::atomic::Ordering::Relaxed);
        (subject == "s").then(|| Override::new().limit(limit).per(MINUTE))
    });
    let limiter = builder(&clock).per_subject(plans.max_age(Duration::from_secs(1))).build();
    for (plan, expected) in [(2, 2), (0, 0), (u32::MAX, 3), (7, 2)] {
        limit.store(plan, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(
            admitted(&limiter, &FIVE, &clock, &[Duration::from_secs(1)]),
            [expected],
            "{plan}"
        );
    }
}

fn numbers() -> impl Strategy<Value = u32> {
    prop_oneof![0..8_u32, Just(u32::MAX), Just(70_000_000)]
}

fn periods() -> impl Strategy<Value = Duration> {
    let nanos = [0, 1, 999_999, 1_000_000, 1_000_001, 60_000_000_001];
    prop_oneof![
        prop::sample::select(nanos.map(Duration::from_nanos).to_vec()),
        prop::sample::select(vec![MINUTE, 366 * DAY, 367 * DAY, 4_000 * DAY, Duration::MAX]),
        (1..200_u64).prop_map(Duration::from_secs),
    ]
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL.to_vec())
}

fn has_bucket(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::Gcra)
}

prop_compose! {
    fn overrides()(
        limit in option::of(numbers()),
        per in option::of(periods()),
        burst in option::of(numbers()),
        quotas in option::weighted(0.3, prop::collection::vec((1..9_u32, 1..200_u64), 0..6)),
        algorithm in option::weighted(0.3, algorithms()),
        shadow in option::weighted(0.2, any::<bool>()),
        enabled in option::weighted(0.2, any::<bool>()),
        mode in option::weighted(0.2, prop::sample::select(OnError::ALL.to_vec())),
    ) -> Override {
        let mut changes = Override::new();
        changes = limit.map_or(changes.clone(), |limit| changes.limit(limit));
        changes = per.map_or(changes.clone(), |per| changes.per(per));
        changes = burst.map_or(changes.clone(), |burst| changes.burst(burst));
        if let Some(quotas) = quotas {
            let quota = |(limit, seconds)| Quota::new(limit, Duration::from_secs(seconds));
            changes = changes.quotas(quotas.into_iter().map(quota));
        }
        changes = algorithm.map_or(changes.clone(), |algorithm| changes.algorithm(algorithm));
        changes = shadow.map_or(changes.clone(), |on| changes.shadow(on));
        changes = enabled.map_or(changes.clone(), |on| changes.enabled(on));
        mode.map_or(changes.clone(), |mode| changes.on_error(mode))
    }
}

prop_compose! {
    fn policies()(
        algorithm in algorithms(),
        quotas in prop::collection::vec((1..9_u32, 1..200_u64, 1..12_u32), 1..=4),
    ) -> Policy {
        let quotas = quotas.into_iter().map(|(limit, seconds, burst)| {
            let quota = Quota::new(limit, Duration::from_secs(seconds));
            if has_bucket(algorithm) { quota.burst(burst) } else { quota }
        });
        let mut quotas = quotas.collect::<Vec<_>>().into_iter();
        let policy = Policy::new("p", quotas.next().unwrap()).algorithm(algorithm);
        quotas.fold(policy, Policy::and)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Some of the overrides are valid.
        max_global_rejects: u32::MAX,
        ..ProptestConfig::with_cases(support::scaled(2_000, 50_000))
    })]

    /// At no time has a subject with an invalid override been admitted more often than one without
    /// an override, and at once never more often than each number of the override says.
    #[test]
    fn none_is_wider_than_the_policy(
        policy in policies(),
        changes in overrides(),
        pauses in prop::collection::vec((0..100_000_u64).prop_map(Duration::from_millis), 1..12),
    ) {
        prop_assume!(is_invalid(&policy, &changes));
        let clocks = [ManualClock::new(), ManualClock::new()];
        let own = builder(&clocks[0]).build();
        let narrowed = overriding(changes.clone(), &clocks[1]);
        let own = admitted(&own, &policy, &clocks[0], &pauses);
        let narrowed = admitted(&narrowed, &policy, &clocks[1], &pauses);
        // Windows of other periods begin at other times. So what two of them admit may differ for a
        // while, by what one window may admit.
        let has_windows = matches!(
            policy.get_algorithm(),
            Algorithm::FixedWindow | Algorithm::SlidingWindowCounter
        );
        let ahead = policy.quotas().iter().map(Quota::limit).min().filter(|_| has_windows);
        let (mut sum, mut most) = (0, ahead.unwrap_or(0));
        for (narrowed, own) in narrowed.iter().zip(&own) {
            (sum, most) = (sum + narrowed, most + own);
            prop_assert!(sum <= most, "{narrowed} of {own}: {changes}, {policy:?}");
        }
        // In a bucket, the limit bounds the rate, and the burst what is admitted at once.
        let has_bucket = has_bucket(policy.get_algorithm());
        let is_flat = policy.quotas().iter().all(|quota| quota.capacity() == quota.limit());
        let limit = changes.get_limit().filter(|limit| {
            *limit == 0 || !has_bucket || changes.get_burst().is_none() && is_flat
        });
        let bound = changes.get_burst().into_iter().chain(limit).min();
        if let Some(bound) = bound {
            prop_assert!(narrowed[0] <= bound, "{narrowed:?}: {changes}, {policy:?}");
        }
    }
}

/// While the backend fails, such a subject passes only if both the policy and the override say so.
#[tokio::test]
async fn nor_is_it_wider_in_an_outage() {
    let set = Override::new;
    let [open, closed] = [OnError::Open, OnError::Closed];
    for (own, changes, passes) in [
        (Some(open), set().limit(9).burst(9), true),
        (Some(open), set().burst(9).on_error(open), true),
        (Some(open), set().burst(9).on_error(closed), false),
        (Some(closed), set().burst(9).on_error(open), false),
        (None, set().burst(9).on_error(open), false),
        (Some(open), set().limit(0).enabled(false), false),
    ] {
        let policy = own.map_or(FIVE, |mode| FIVE.on_error(mode));
        let (log, _guard) = Log::of_this_thread(Level::ERROR);
        let told = changes.clone();
        let plans = PerSubject::new(move |_, _| Some(changes.clone()));
        // Other tests of this program have limits with `on_error = local`.
        let builder = Limiter::builder(support::FailingBackend).instances(1);
        let limiter = builder.per_subject(plans).build();
        let decision = limiter.check(&policy, "s").await;
        assert_eq!(decision.is_ok_and(|decision| decision.is_allowed()), passes, "{own:?} {told}");
        assert!(log.text().contains("a subject's override is invalid"), "{own:?} {told}");
    }
}
