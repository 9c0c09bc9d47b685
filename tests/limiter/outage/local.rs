//! How much three instances admit together, at an outage's start and at its end.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tollgate::testing::ManualClock;
use tollgate::{Algorithm, Clock as _, Limiter, OnError, Outcome, Policy, Quota, Source};

use super::store::{Health, Store};
use support::scaled;

const INSTANCES: u32 = 3;
const PERIOD: Duration = Duration::from_secs(10);

/// The most that an algorithm admits in any window of one period.
fn bound(algorithm: Algorithm, limit: u32, burst: u32) -> u32 {
    match algorithm {
        Algorithm::SlidingWindow => limit,
        Algorithm::SlidingWindowCounter | Algorithm::FixedWindow => 2 * limit - 1,
        _ => burst + limit - 1,
    }
}

fn share(units: u32) -> u32 {
    units.div_ceil(INSTANCES)
}

/// A quota, as far as the bounds go.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    limit: u32,
    burst: u32,
    period: Duration,
}

/// Three limiters on one store and one clock, and what they have admitted.
struct Fleet {
    store: Store,
    clock: ManualClock,
    limiters: Vec<Limiter>,
    policy: Policy,
    admitted: Vec<Admitted>,
}

#[derive(Clone, Copy, Debug)]
struct Admitted {
    at: u64,
    units: u32,
    instance: usize,
    by: Source,
}

impl Fleet {
    fn new(policy: Policy) -> Self {
        let clock = ManualClock::new();
        let store = Store::new(&clock);
        let limiter = || {
            let builder = Limiter::builder(store.clone()).clock(clock.clone());
            builder.instances(INSTANCES).on_error(OnError::Local).build()
        };
        let limiters = (0..INSTANCES).map(|_| limiter()).collect();
        Self { store, clock, limiters, policy, admitted: Vec::new() }
    }

    async fn check(&mut self, instance: usize, units: u32) -> bool {
        let answer = self.limiters[instance].check_cost(&self.policy, "s", units).await;
        // It is unavailable if it costs more than a share.
        let Ok(decision) = answer else { return false };
        if decision.is_allowed() {
            let at = self.clock.now_micros();
            self.admitted.push(Admitted { at, units, instance, by: decision.source() });
        }
        decision.is_allowed()
    }

    /// As many units as an instance gets, one by one.
    async fn exhaust(&mut self, instance: usize) -> u32 {
        let mut units = 0;
        while self.check(instance, 1).await {
            units += 1;
        }
        units
    }

    /// The most in any window of a period that begins and ends in `span`, of those that count.
    fn most(
        &self,
        period: Duration,
        span: std::ops::Range<u64>,
        counts: impl Fn(&Admitted) -> bool,
    ) -> u32 {
        let period = period.as_micros() as u64;
        let counted = || self.admitted.iter().filter(|one| span.contains(&one.at) && counts(one));
        let window = |from: u64| {
            let inside = counted().filter(|one| one.at >= from && one.at - from < period);
            inside.map(|one| one.units).sum()
        };
        counted().map(|one| window(one.at)).max().unwrap_or(0)
    }

    /// Lets what was spawned run.
    async fn settle(&self) {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
}

fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn policy(algorithm: Algorithm, limit: u32) -> Policy {
    Policy::new("p", Quota::new(limit, PERIOD)).algorithm(algorithm)
}

/// The bounds are reached, so they could not be any lower.
#[test]
fn even_shares_add_up_to_the_limit_and_the_rounding() {
    one_thread().block_on(async {
        for &algorithm in Algorithm::ALL {
            let mut fleet = Fleet::new(policy(algorithm, 10));
            fleet.store.is(Health::Down);
            let mut units = 0;
            for instance in 0..3 {
                units += fleet.exhaust(instance).await;
            }
            // ⌈10 ÷ 3⌉ each.
            assert_eq!(units, 12, "{algorithm:?}");

            // The same if part of it was admitted by the store.
            let mut fleet = Fleet::new(policy(algorithm, 10));
            for instance in [0, 0, 0, 1, 1, 2] {
                assert!(fleet.check(instance, 1).await);
            }
            fleet.store.is(Health::Down);
            let mut rest = Vec::new();
            for instance in 0..3 {
                rest.push(fleet.exhaust(instance).await);
            }
            assert_eq!(rest, [1, 2, 3], "{algorithm:?}");
        }
    });
}

#[test]
fn who_had_more_than_its_share_gets_nothing() {
    one_thread().block_on(async {
        for &algorithm in Algorithm::ALL {
            let mut fleet = Fleet::new(policy(algorithm, 10));
            assert_eq!(fleet.exhaust(0).await, 10);
            fleet.store.is(Health::Down);
            let mut units = Vec::new();
            for instance in 0..3 {
                units.push(fleet.exhaust(instance).await);
            }
            assert_eq!(units, [0, 4, 4], "{algorithm:?}: L + (n − 1) × ⌈L ÷ n⌉");
        }
    });
}

/// One call that costs most of the limit leaves no room in its instance's share.
#[test]
fn what_costs_more_than_a_share_is_noted_as_far_as_there_is_room() {
    one_thread().block_on(async {
        for &algorithm in Algorithm::ALL {
            let mut fleet = Fleet::new(policy(algorithm, 10));
            assert!(fleet.check(0, 2).await && fleet.check(0, 7).await);
            fleet.store.is(Health::Down);
            assert_eq!(fleet.exhaust(0).await, 0, "{algorithm:?}");
            // No share can hold 5, though the policy can: that is nobody's to decide.
            let limiter = &fleet.limiters[1];
            assert!(limiter.check_cost(&fleet.policy, "s", 5).await.is_err());
            let never = limiter.check_cost(&fleet.policy, "s", 11).await.unwrap();
            assert_eq!(never.outcome(), Outcome::Never);
        }
    });
}

#[test]
fn quotas_are_noted_each_for_itself() {
    one_thread().block_on(async {
        let policy = Policy::new("p", Quota::new(6, PERIOD)).and(Quota::new(60, PERIOD * 100));
        let mut fleet = Fleet::new(policy);
        for _ in 0..10 {
            assert_eq!(fleet.exhaust(0).await, 6);
            fleet.clock.advance(PERIOD);
        }
        fleet.store.is(Health::Down);
        // 2 at a time have room in the first quota's share; the second's is full of the others.
        assert_eq!(fleet.exhaust(0).await, 0);
        assert_eq!(fleet.exhaust(1).await, 2);
    });
}

#[test]
fn charges_are_posted_when_the_store_returns() {
    one_thread().block_on(async {
        for &algorithm in Algorithm::ALL {
            let mut fleet = Fleet::new(policy(algorithm, 9));
            fleet.store.is(Health::Down);
            for instance in 0..3 {
                assert_eq!(fleet.exhaust(instance).await, 3);
            }
            fleet.store.is(Health::Well);
            // The first to notice posts its own.
            fleet.clock.advance(Duration::from_secs(2));
            let peek = async |fleet: &Fleet, instance: usize| {
                let answer = fleet.limiters[instance].peek(&fleet.policy, "s", 0).await.unwrap();
                assert_eq!(answer.source(), Source::Store);
                answer.remaining()
            };
            assert_eq!(peek(&fleet, 0).await, 9, "{algorithm:?}");
            fleet.settle().await;
            assert_eq!(peek(&fleet, 0).await, 6, "{algorithm:?}");
            for instance in [1, 2] {
                peek(&fleet, instance).await;
                fleet.settle().await;
            }
            assert_eq!(peek(&fleet, 0).await, 0, "{algorithm:?}");
            // Once is enough.
            fleet.clock.advance(PERIOD * 2);
            peek(&fleet, 0).await;
            fleet.settle().await;
            assert_eq!(peek(&fleet, 0).await, 9, "{algorithm:?}");
        }
    });
}

#[test]
fn what_may_have_been_charged_is_not_posted() {
    one_thread().block_on(async {
        let mut fleet = Fleet::new(policy(Algorithm::SlidingWindow, 9));
        fleet.store.is(Health::Mute);
        assert!(fleet.check(0, 1).await && fleet.check(0, 1).await);
        fleet.store.is(Health::Well);
        assert!(fleet.check(0, 1).await);
        fleet.settle().await;
        let left = fleet.limiters[0].peek(&fleet.policy, "s", 0).await.unwrap().remaining();
        assert_eq!(left, 6);
    });
}

#[test]
fn a_refund_goes_to_who_took_the_charge() {
    one_thread().block_on(async {
        let fleet = Fleet::new(policy(Algorithm::SlidingWindow, 9));
        let limiter = &fleet.limiters[0];
        let check = async || limiter.check(&fleet.policy, "s").await.unwrap();
        let remaining = async || limiter.peek(&fleet.policy, "s", 0).await.unwrap().remaining();
        let [store, kept] = [check().await, check().await];
        fleet.store.is(Health::Down);
        assert_eq!(remaining().await, 1);
        let local = check().await;
        assert_eq!((local.source(), remaining().await), (Source::Local, 0));
        assert!(limiter.refund(local).await.unwrap());
        assert_eq!(remaining().await, 1);
        // The store has it, and it is not there. What was noted here of it is given back.
        assert!(limiter.refund(store).await.is_err());
        assert_eq!(remaining().await, 2);
        fleet.store.is(Health::Well);
        fleet.clock.advance(Duration::from_secs(2));
        assert!(limiter.refund(kept).await.unwrap());
        fleet.settle().await;
        assert_eq!(remaining().await, 8, "nothing was posted, and one is still charged");
        // A reset reaches both.
        limiter.reset(&fleet.policy, "s").await.unwrap();
        assert_eq!(remaining().await, 9);
        fleet.store.is(Health::Down);
        assert_eq!(remaining().await, 3);
    });
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// In 1/1000 of the period.
    Wait(u32),
    Check {
        instance: usize,
        units: u32,
    },
    /// As much as can be had.
    Burst(usize),
}

fn events(instance: BoxedStrategy<usize>) -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (0_u32..700).prop_map(Event::Wait),
        4 => (instance.clone(), prop_oneof![5 => Just(1_u32), 1 => 1_u32..6])
            .prop_map(|(instance, units)| Event::Check { instance, units }),
        2 => instance.prop_map(Event::Burst),
    ];
    prop::collection::vec(event, 0..25)
}

#[derive(Debug)]
struct Scenario {
    algorithm: Algorithm,
    quotas: Vec<Numbers>,
    /// While the store is well, down, and well again.
    phases: [Vec<Event>; 3],
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let quota = |period: Duration| {
        (1_u32..20, 1_u32..20).prop_map(move |(limit, burst)| Numbers { limit, burst, period })
    };
    let quotas = prop_oneof![
        3 => quota(PERIOD).prop_map(|quota| vec![quota]),
        1 => (quota(PERIOD), quota(PERIOD * 3)).prop_map(|(first, second)| vec![first, second]),
    ];
    // Most of what comes may come to one of them.
    let instance = prop_oneof![Just(10_u32), Just(90_u32)].prop_flat_map(|weight| {
        let instance =
            prop_oneof![weight => Just(0_usize), 10 => Just(1_usize), 10 => Just(2_usize)];
        (
            events(instance.clone().boxed()),
            events(instance.clone().boxed()),
            events(instance.boxed()),
        )
    });
    (prop::sample::select(Algorithm::ALL), quotas, instance).prop_map(
        |(algorithm, mut quotas, phases)| {
            if !matches!(
                algorithm,
                Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::Gcra
            ) {
                quotas.iter_mut().for_each(|quota| quota.burst = quota.limit);
            }
            Scenario { algorithm, quotas, phases: [phases.0, phases.1, phases.2] }
        },
    )
}

async fn play(fleet: &mut Fleet, events: &[Event]) {
    for event in events {
        match *event {
            Event::Wait(thousandths) => fleet.clock.advance(PERIOD * thousandths / 1_000),
            Event::Check { instance, units } => {
                fleet.check(instance, units).await;
            }
            Event::Burst(instance) => {
                fleet.exhaust(instance).await;
            }
        }
        fleet.settle().await;
    }
    // So that what comes next is later.
    fleet.clock.advance(Duration::from_micros(1));
}

async fn stays_within_the_bounds(scenario: &Scenario) -> Result<[u32; 3], TestCaseError> {
    let quota = |numbers: &Numbers| {
        let quota = Quota::new(numbers.limit, numbers.period);
        if numbers.burst == numbers.limit { quota } else { quota.burst(numbers.burst) }
    };
    let mut policy = Policy::new("p", quota(&scenario.quotas[0])).algorithm(scenario.algorithm);
    for numbers in &scenario.quotas[1..] {
        policy = policy.and(quota(numbers));
    }
    let mut fleet = Fleet::new(policy);
    play(&mut fleet, &scenario.phases[0]).await;
    let down = fleet.clock.now_micros();
    fleet.store.is(Health::Down);
    play(&mut fleet, &scenario.phases[1]).await;
    let up = fleet.clock.now_micros();
    fleet.store.is(Health::Well);
    play(&mut fleet, &scenario.phases[2]).await;

    let mut seen = [0; 3];
    for numbers in &scenario.quotas {
        let Numbers { limit, burst, period } = *numbers;
        let alone = bound(scenario.algorithm, limit, burst);
        let of_share = bound(scenario.algorithm, share(limit), share(burst));
        let most = fleet.most(period, 0..up, |_| true);
        let had_their_share = (0..INSTANCES as usize).all(|instance| {
            let by_store = |one: &Admitted| one.instance == instance && one.by == Source::Store;
            fleet.most(period, 0..down, by_store) <= share(limit)
        });
        let allowed = if had_their_share {
            alone + INSTANCES - 1
        } else {
            alone + (INSTANCES - 1) * of_share
        };
        prop_assert!(most <= allowed, "{most} > {allowed}, even: {had_their_share}, {numbers:?}");
        let most_of_all = fleet.most(period, 0..u64::MAX, |_| true);
        prop_assert!(
            most_of_all <= allowed + alone,
            "{most_of_all} > {allowed} + {alone}, {numbers:?}"
        );
        let locally = fleet.admitted.iter().filter(|one| one.by == Source::Local).count();
        seen = [locally as u32, u32::from(had_their_share), u32::from(most == allowed)];
    }
    Ok(seen)
}

/// Any window of a period, on any trace: before the outage's end within the algorithm's bound and
/// the rounding, or, if the shares were skewed, a share's bound for each of the others; and across
/// its end at most the algorithm's bound more.
#[test]
fn any_three_instances_stay_within_the_bounds() {
    let cases = scaled(1_500, 60_000);
    let runtime = one_thread();
    let totals = std::cell::RefCell::new([0; 3]);
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let result = runner.run(&scenario(), |scenario| {
        let seen = runtime.block_on(stays_within_the_bounds(&scenario))?;
        for (total, seen) in totals.borrow_mut().iter_mut().zip(seen) {
            *total += seen;
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let [locally, even, reached] = *totals.borrow();
    println!(
        "{cases} traces: {locally} admitted locally; {even} even; {reached} reach their bound"
    );
    assert!(locally > cases && even > cases / 10 && even < cases * 9 / 10 && reached > 0);
}
