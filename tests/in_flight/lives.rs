//! Random lives of requests against a list of those in flight: in memory and on Redis the same
//! requests are admitted, and at the end nothing is left.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::redis::{RedisServer, eventually};
use support::scaled;
use tokio::runtime::Runtime;
use tollgate::testing::ManualClock;
use tollgate::{
    Decision, InFlight, Limiter, LocalTier, MemoryBackend, Override, Overrides, Policy, Quota,
    RedisBackend, Source,
};

use super::stored::entries_with;

const SECOND: Duration = Duration::from_secs(1);
const SUBJECTS: [&str; 3] = ["a", "b", "c"];

/// A step in the lives of requests.
#[derive(Clone, Debug)]
enum Step {
    /// A request of this subject and cost comes.
    Comes(usize, u32),
    /// One of those that are in flight ends.
    Ends(usize),
    /// One of those that are in flight is refunded.
    IsRefunded(usize),
    /// One of those that are in flight is settled.
    IsSettled(usize, u32),
    /// Somebody looks if a request would be admitted.
    Looks(usize, u32),
    /// The counters of a subject are reset.
    IsReset(usize),
    /// The operator sets another number.
    IsOverridden(u32),
    Time(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let subject = 0..SUBJECTS.len();
    prop_oneof![
        8 => (subject.clone(), 0..3_u32).prop_map(|(subject, cost)| Step::Comes(subject, cost)),
        6 => any::<usize>().prop_map(Step::Ends),
        1 => any::<usize>().prop_map(Step::IsRefunded),
        1 => (any::<usize>(), 0..3_u32).prop_map(|(index, actual)| Step::IsSettled(index, actual)),
        2 => (subject.clone(), 0..3_u32).prop_map(|(subject, cost)| Step::Looks(subject, cost)),
        1 => subject.prop_map(Step::IsReset),
        1 => (1..6_u32).prop_map(Step::IsOverridden),
        2 => (1..1_500_000_u64).prop_map(Step::Time),
    ]
}

/// A request in flight: its subject, and the units that it was charged, and when.
struct Life {
    subject: usize,
    cost: u32,
    has_permit: bool,
    charge: Option<usize>,
    decision: Decision,
}

/// The definition: a list of charges and a list of those in flight.
struct Model {
    limit: u32,
    quota: Option<u32>,
    now: u64,
    /// The subject, time and units of each charge.
    charges: Vec<(usize, u64, u32)>,
    held: [u32; SUBJECTS.len()],
}

impl Model {
    fn used(&self, subject: usize) -> u32 {
        let counts =
            |charge: &&(usize, u64, u32)| charge.0 == subject && charge.1 + 1_000_000 > self.now;
        self.charges.iter().filter(counts).map(|charge| charge.2).sum()
    }

    fn admits(&self, subject: usize, cost: u32) -> bool {
        cost == 0
            || self.held[subject] < self.limit
                && self.quota.is_none_or(|quota| self.used(subject) + cost <= quota)
    }

    /// Returns what is left of permits.
    fn left(&self, subject: usize) -> u32 {
        self.limit.saturating_sub(self.held[subject])
    }
}

fn policy(quota: Option<u32>) -> Policy {
    let in_flight = InFlight::new(3).hold(Duration::from_secs(3_600));
    match quota {
        Some(quota) => Policy::new("lives", Quota::new(quota, SECOND)).in_flight(in_flight),
        None => Policy::in_flight_only("lives", in_flight),
    }
}

/// Returns the number of lives.
async fn run(limiter: &Limiter, clock: &ManualClock, quota: Option<u32>, steps: &[Step]) -> u32 {
    let policy = policy(quota);
    let now = || tollgate::Clock::now_micros(clock);
    let mut model =
        Model { limit: 3, quota, now: now(), charges: Vec::new(), held: [0; SUBJECTS.len()] };
    let mut lives: Vec<Life> = Vec::new();
    let mut begun = 0;
    for (number, step) in steps.iter().enumerate() {
        model.now = now();
        let mut end = |lives: &mut Vec<Life>, index: &usize| {
            let life = (!lives.is_empty()).then(|| lives.swap_remove(index % lives.len()))?;
            model.held[life.subject] -= u32::from(life.has_permit);
            Some(life)
        };
        match step {
            Step::Comes(subject, cost) | Step::Looks(subject, cost) => {
                let (subject, cost) = (*subject, *cost);
                let charges = matches!(step, Step::Comes(..));
                let admitted = model.admits(subject, cost);
                let decision = match charges {
                    true => limiter.check_cost(&policy, SUBJECTS[subject], cost).await.unwrap(),
                    false => limiter.peek(&policy, SUBJECTS[subject], cost).await.unwrap(),
                };
                assert_eq!(decision.source(), Source::Store);
                assert_eq!(decision.is_allowed(), admitted, "step {number}, {step:?}");
                let takes = charges && admitted && cost > 0;
                if takes {
                    model.held[subject] += 1;
                    model.charges.push((subject, model.now, cost));
                }
                let state = decision.quotas().last().unwrap();
                assert_eq!(state.remaining(), model.left(subject), "step {number}, {step:?}");
                if charges && admitted {
                    let charge = takes.then(|| model.charges.len() - 1);
                    begun += u32::from(takes);
                    lives.push(Life { subject, cost, has_permit: takes, charge, decision });
                }
            }
            Step::Ends(index) => drop(end(&mut lives, index)),
            Step::IsRefunded(index) => {
                if let Some(life) = end(&mut lives, index) {
                    if let Some(charge) = life.charge {
                        model.charges[charge].2 = 0;
                    }
                    let _ = limiter.refund(life.decision).await.unwrap();
                }
            }
            Step::IsSettled(index, actual) => {
                if let Some(life) = end(&mut lives, index) {
                    let Life { charge, subject, cost, decision, .. } = life;
                    if let Some(charge) = charge.filter(|_| *actual < cost) {
                        // Of a charge that was reset nothing is given back.
                        let units = &mut model.charges[charge].2;
                        *units = (*units).min(*actual);
                    } else if *actual > cost {
                        model.charges.push((subject, model.now, actual - cost));
                    }
                    let _ = limiter.settle(decision, *actual).await.unwrap();
                }
            }
            Step::IsReset(subject) => {
                limiter.reset(&policy, SUBJECTS[*subject]).await.unwrap();
                model.charges.iter_mut().filter(|charge| charge.0 == *subject).for_each(|charge| {
                    charge.2 = 0;
                });
                // A charge is known by its instant, which one before the reset must not share.
                clock.advance(Duration::from_micros(1));
            }
            Step::IsOverridden(limit) => {
                let changes = Overrides::new().with("lives", Override::new().in_flight(*limit));
                limiter.set_overrides(changes).unwrap();
                model.limit = *limit;
            }
            Step::Time(micros) => clock.advance(Duration::from_micros(*micros)),
        }
        let held: u32 = model.held.iter().sum();
        assert_eq!(limiter.stats().in_flight, u64::from(held), "step {number}, {step:?}");
    }
    drop(lives);
    assert_eq!(limiter.stats().in_flight, 0);
    begun
}

fn cases(quick: u32, full: u32) -> TestRunner {
    TestRunner::new(Config { cases: scaled(quick, full), ..Config::default() })
}

fn traces() -> impl Strategy<Value = (Option<u32>, Vec<Step>)> {
    (prop::option::of(2..12_u32), prop::collection::vec(step(), 1..120))
}

/// At full scale a million lives and more.
#[test]
fn in_memory_they_are_those_of_the_list() {
    let runtime = Runtime::new().unwrap();
    let lives = Cell::new(0);
    let ran = cases(400, 100_000).run(&traces(), |(quota, steps)| {
        let clock = ManualClock::new();
        let backend = MemoryBackend::builder().clock(clock.clone()).build();
        let limiter = Limiter::builder(backend).declare(policy(quota)).build();
        lives.set(lives.get() + runtime.block_on(run(&limiter, &clock, quota, &steps)));
        Ok(())
    });
    ran.unwrap();
    println!("{} lives", lives.get());
    assert!(lives.get() >= scaled(3_000, 1_000_000), "{} lives", lives.get());
}

#[test]
fn on_redis_they_are_those_of_the_list() {
    let runtime = Runtime::new().unwrap();
    let server = RedisServer::start();
    let connection = RefCell::new(server.connection());
    let ran = cases(60, 4_000).run(&traces(), |(quota, steps)| {
        let mut connection = connection.borrow_mut();
        let _: () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
        let clock = ManualClock::new();
        let backend = RedisBackend::builder(&server.url())
            .virtual_time(clock.clone())
            .deadline(Duration::from_secs(20));
        let limiter = Limiter::builder(backend.build().unwrap())
            .local_tier(LocalTier::none())
            .declare(policy(quota))
            .build();
        runtime.block_on(run(&limiter, &clock, quota, &steps));
        // A release is told soon, and nobody waits for it.
        eventually("nothing is left", || {
            let keys: Vec<String> = redis::cmd("KEYS").arg("*{*").query(&mut connection).unwrap();
            keys.is_empty()
        });
        Ok(())
    });
    ran.unwrap();
}

/// Several processes on one server, each with permits of its own, and clocks that go on until leases
/// end.
#[test]
fn several_processes_are_those_of_the_list() {
    const HOLD: u64 = 3_600_000_000;
    let runtime = Runtime::new().unwrap();
    let server = RedisServer::start();
    let connection = RefCell::new(server.connection());
    let case = Cell::new(0);
    let step = (0..3_usize, 0..10_u32, any::<usize>(), 1..HOLD / 2);
    let ran = cases(40, 2_000).run(&prop::collection::vec(step, 1..80), |steps| {
        let mut connection = connection.borrow_mut();
        let _: () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
        let clock = ManualClock::new();
        // The processes of the case before may still report what they have released.
        case.set(case.get() + 1);
        let prefix = format!("case-{}:", case.get());
        let policy =
            Policy::in_flight_only("fleet", InFlight::new(4).hold(Duration::from_micros(HOLD)));
        let process = |_| {
            let backend = RedisBackend::builder(&server.url())
                .key_prefix(&*prefix)
                .virtual_time(clock.clone())
                .deadline(Duration::from_secs(20));
            Limiter::new(Arc::new(backend.build().unwrap()))
        };
        let limiters: Vec<Limiter> = (0..3).map(process).collect();
        let mut held: Vec<Vec<Decision>> = (0..3).map(|_| Vec::new()).collect();
        let mut renewed = [0_u64; 3];
        for (process, action, index, micros) in steps {
            let now = tollgate::Clock::now_micros(&clock);
            match action {
                0..=4 => {
                    // The permits of the others count as long as their leases last, and those of
                    // this one in any case.
                    let counted = |other: &usize| *other == process || renewed[*other] + HOLD > now;
                    let all: usize = (0..3).filter(counted).map(|it| held[it].len()).sum();
                    let decision = runtime.block_on(limiters[process].check(&policy, "s")).unwrap();
                    assert_eq!(decision.is_allowed(), all < 4, "{all} are held");
                    renewed[process] = now;
                    if decision.is_allowed() {
                        held[process].push(decision);
                    }
                }
                5..=8 if !held[process].is_empty() => {
                    let ends = index % held[process].len();
                    drop(held[process].swap_remove(ends));
                    renewed[process] = now;
                    let counted = |other: &usize| *other == process || renewed[*other] + HOLD > now;
                    let known = (0..3).filter(counted).map(|it| (renewed[it], held[it].len()));
                    let mut known: Vec<_> = known.filter(|(_, count)| *count > 0).collect();
                    known.sort_unstable();
                    eventually("the release is told", || stored(&mut connection, &prefix) == known);
                }
                _ => clock.advance(Duration::from_micros(micros)),
            }
        }
        Ok(())
    });
    ran.unwrap();
}

/// Returns what the server has stored: for each process the time of its last operation and the number
/// of its permits.
fn stored(connection: &mut redis::Connection, prefix: &str) -> Vec<(u64, usize)> {
    let entries = entries_with(connection, prefix).into_iter();
    let mut stored: Vec<_> = entries.map(|entry| (entry.renewed, entry.permits as usize)).collect();
    stored.sort_unstable();
    stored
}
