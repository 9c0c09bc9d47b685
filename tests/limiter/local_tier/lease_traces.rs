//! Random traces of several instances that lease: the bounds that the documentation states.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tollgate::backend::Operation;
use tollgate::backend::{Action, Answer};
use tollgate::testing::ManualClock;
use tollgate::{Algorithm, Backend, BackendError, Clock as _, Decision, Limiter};
use tollgate::{LocalTier, Outcome, Source};

use support::far::{FarStore, limiter_on, settle};
use support::reference::{Numbers, has_bucket};
use support::scaled;

const INSTANCES: u64 = 3;
/// The longest way, in thousandths of what a lease is held.
const WAY: u64 = 300;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many checks of this cost by one instance, each so many microseconds after the other.
    Checks(usize, u32, u32, u64),
    /// Gives back what the instance was granted so many grants ago.
    Refund(usize, usize),
    /// Starts a check and gives it up.
    GiveUp(usize),
    /// How long the next journeys take, in thousandths of what a lease is held.
    Ways(u64, u64),
    /// Thousandths of what a lease is held.
    Hold(u64),
    /// Thousandths of the period.
    Share(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let instance = || 0..INSTANCES as usize;
    prop_oneof![
        12 => (instance(), 1_u32..=60, prop_oneof![4 => Just(1), 1 => 2_u32..=5], 0_u64..=300)
            .prop_map(|(at, times, cost, apart)| Step::Checks(at, times, cost, apart)),
        2 => (instance(), 0_usize..20).prop_map(|(at, back)| Step::Refund(at, back)),
        1 => instance().prop_map(Step::GiveUp),
        1 => (0..=WAY, 0..=WAY).prop_map(|(there, back)| Step::Ways(there, back)),
        1 => Just(Step::Ways(0, 0)),
        3 => (0_u64..=1_100).prop_map(Step::Hold),
        2 => (0_u64..=1_100).prop_map(Step::Share),
    ]
}

/// Quotas large enough for a lease.
fn quotas(algorithm: Algorithm) -> impl Strategy<Value = Vec<Numbers>> {
    let one = (20_u32..=600, 10_000_u64..=2_000_000, 20_u32..=600);
    let one = one.prop_map(move |(limit, period, burst)| {
        let numbers = Numbers::new(limit, period);
        if has_bucket(algorithm) { numbers.burst(burst) } else { numbers }
    });
    prop::collection::vec(one, 1..=2)
}

/// Quotas, the most of one lease, for how long in microseconds, and what happens.
type Case = (Vec<Numbers>, u32, u64, Vec<Step>);

fn case(algorithm: Algorithm) -> impl Strategy<Value = Case> {
    let steps = prop::collection::vec(step(), 1..=40);
    let steps = (steps, any::<bool>()).prop_map(|(mut steps, travel)| {
        steps.retain(|step| travel || !matches!(step, Step::Ways(..)));
        steps
    });
    (quotas(algorithm), 2_u32..=100, 1_000_u64..=100_000, steps)
}

/// What the store charged and did not get back, by when.
#[derive(Default)]
struct Charged(BTreeMap<u64, u64>);

/// A way to the store, which keeps account of it.
#[derive(Clone)]
struct Way {
    store: FarStore,
    charged: Arc<Mutex<Charged>>,
}

impl Backend for Way {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        let answers = self.store.apply(batch).await;
        let mut charged = self.charged.lock().unwrap();
        for (operation, answer) in batch.iter().zip(&answers) {
            let cost = u64::from(operation.check.cost);
            match (operation.action, answer) {
                (Action::Charge, Ok(Answer::Verdict(verdict)))
                    if verdict.outcome() == Outcome::Allowed =>
                {
                    *charged.0.entry(verdict.stamp_micros()).or_default() += cost;
                }
                // What comes back of a lease was not spent, whether the store can take it back
                // in full or not.
                (Action::Refund { stamp_micros, .. }, _) => {
                    *charged.0.get_mut(&stamp_micros).unwrap() -= cost;
                }
                _ => {}
            }
        }
        answers
    }
}

/// What was admitted and not given back: when, and how much.
type Admitted = Arc<Mutex<Vec<(u64, u64)>>>;

struct Instance {
    limiter: Limiter,
    /// What can be given back, and where it is in the list of what was admitted.
    granted: Mutex<Vec<(usize, Decision)>>,
}

#[derive(Default)]
struct Seen {
    leased: u64,
    late: u64,
    worst: u64,
}

async fn play(case: &Case, algorithm: Algorithm, seen: &mut Seen) -> Result<(), TestCaseError> {
    let (numbers, max, hold, steps) = case;
    let policy = Numbers::policy(algorithm, numbers);
    let store = FarStore::new();
    let clock = store.clock.clone();
    let way = Way { store: store.clone(), charged: Arc::default() };
    let admitted = Admitted::default();
    let hold = (*hold).min(numbers.iter().map(|numbers| numbers.period).min().unwrap() / 10);
    let tier = LocalTier::deny_cache().lease(*max).hold(Duration::from_micros(hold));
    let instances: Vec<Arc<Instance>> = (0..INSTANCES)
        .map(|_| {
            let limiter = limiter_on(way.clone(), &clock).local_tier(tier.clone()).build();
            Arc::new(Instance { limiter, granted: Mutex::default() })
        })
        .collect();
    let leased = Arc::new(Mutex::new(0_u64));
    let check = |at: usize, cost: u32| {
        let (instance, policy) = (Arc::clone(&instances[at]), policy.clone());
        let (admitted, clock, leased) = (Arc::clone(&admitted), clock.clone(), Arc::clone(&leased));
        async move {
            let decision = instance.limiter.check_cost(&policy, "s", cost).await.unwrap();
            if decision.is_allowed() {
                *leased.lock().unwrap() += u64::from(decision.source() == Source::Lease);
                let mut admitted = admitted.lock().unwrap();
                admitted.push((clock.now_micros(), cost.into()));
                instance.granted.lock().unwrap().push((admitted.len() - 1, decision));
            }
        }
    };
    for step in steps {
        match *step {
            Step::Checks(at, times, cost, apart) => {
                for _ in 0..times {
                    tokio::spawn(check(at, cost));
                    settle().await;
                    clock.advance(Duration::from_micros(apart));
                }
            }
            Step::Refund(at, back) => {
                let instance = &instances[at];
                let mut granted = instance.granted.lock().unwrap();
                let Some(index) = granted.len().checked_sub(back + 1) else { continue };
                let (place, decision) = granted.remove(index);
                drop(granted);
                admitted.lock().unwrap()[place].1 = 0;
                let limiter = instance.limiter.clone();
                tokio::spawn(async move { limiter.refund(decision).await.unwrap() });
            }
            Step::GiveUp(at) => {
                let check = tokio::spawn(check(at, 1));
                settle().await;
                check.abort();
            }
            Step::Ways(there, back) => {
                store.set_ways([there, back].map(|way| hold * way / 1_000));
            }
            Step::Hold(share) => {
                arrive(&clock, hold).await;
                clock.advance(Duration::from_micros(hold * share / 1_000));
            }
            Step::Share(share) => {
                arrive(&clock, hold).await;
                clock.advance(Duration::from_micros(numbers[0].period * share / 1_000));
            }
        }
        settle().await;
    }
    store.set_ways([0, 0]);
    for _ in 0..6 {
        clock.advance(Duration::from_micros(hold));
        settle().await;
    }
    seen.leased += *leased.lock().unwrap();
    let charged = way.charged.lock().unwrap();
    within_bounds(&admitted.lock().unwrap(), &charged, case, hold, algorithm, seen)
}

/// Lets those on their way arrive, so that no journey lasts longer than it should.
async fn arrive(clock: &ManualClock, hold: u64) {
    // Two journeys, there and back, and each may be seen to end a step late.
    for _ in 0..8 {
        clock.advance(Duration::from_micros(hold * WAY / 1_000));
        settle().await;
    }
}

fn within_bounds(
    admitted: &[(u64, u64)],
    charged: &Charged,
    case: &Case,
    hold: u64,
    algorithm: Algorithm,
    seen: &mut Seen,
) -> Result<(), TestCaseError> {
    let (numbers, max, _, steps) = case;
    // Who is told late that it is admitted is so anyway.
    let travels = |step: &Step| matches!(step, Step::Ways(there, back) if there + back > 0);
    let at_once = !steps.iter().any(travels);
    for (start, _) in admitted {
        for quota in numbers {
            let window = *start..start + quota.period;
            let inside = admitted.iter().filter(|(at, _)| window.contains(at));
            let inside: u64 = inside.map(|(_, units)| units).sum();
            let bound = quota.bound(algorithm);
            let held = INSTANCES * u64::from(max - 1);
            if at_once {
                prop_assert!(inside <= bound + held, "{inside} in a window of {quota:?}");
                seen.late += u64::from(inside > bound);
                seen.worst = seen.worst.max(inside.saturating_sub(bound));
            }
            // Whatever was spent was charged before, and not long before.
            let before = start.saturating_sub(hold + if at_once { 0 } else { hold });
            let sums = charged.0.range(before..window.end);
            let sum: u64 = sums.map(|(_, units)| units).sum();
            prop_assert!(inside <= sum, "{inside} spent of {sum} charged");
        }
    }
    // Everything is spent or has been given back, save what was asked for and given up.
    let [spent, sum] =
        [admitted.iter().map(|(_, units)| units).sum::<u64>(), charged.0.values().sum()];
    let given_up = steps.iter().filter(|step| matches!(step, Step::GiveUp(_))).count() as u64;
    prop_assert!(spent <= sum && sum <= spent + given_up, "{spent} spent of {sum} charged");
    Ok(())
}

#[test]
fn stay_within_the_bounds() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for &algorithm in Algorithm::ALL {
        let cases = scaled(40, 5_000);
        let config =
            ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
        let seen = std::cell::RefCell::new(Seen::default());
        let outcome = TestRunner::new(config).run(&case(algorithm), |case| {
            runtime.block_on(play(&case, algorithm, &mut seen.borrow_mut()))
        });
        if let Err(failure) = outcome {
            panic!("{algorithm:?}: {failure:#}");
        }
        let Seen { leased, late, worst } = seen.into_inner();
        println!(
            "{algorithm:?}: {leased} leased; {late} windows beyond the algorithm's bound, by at \
             most {worst}"
        );
        assert!(leased > u64::from(cases) * 10, "only {leased}");
    }
}
