//! Random traces of several instances that share a store, against that store alone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tollgate::backend::Operation;
use tollgate::backend::{Action, Answer};
use tollgate::{Algorithm, Check, Outcome, Policy, Source};
use tollgate::{Backend, BackendError, Clock as _, Decision, Limiter, LocalTier};

use support::far::{FarStore, limiter_on, settle};
use support::reference::{Numbers, quotas};
use support::scaled;

const INSTANCES: usize = 3;
const SUBJECTS: usize = 2;
/// The longest way, in thousandths of the greatest age.
const WAY: u64 = 400;

#[derive(Clone, Copy, Debug)]
enum Step {
    Check(usize, usize, Cost),
    Peek(usize, usize, Cost),
    /// The same instance asks again for what it was refused last, so many microseconds after
    /// the instant it was told.
    Again(usize, i64),
    /// The same without waiting, for so much more.
    Repeat(usize, u32),
    /// Gives back what the instance was granted so many grants ago.
    Refund(usize, usize),
    Reset(usize, usize),
    /// The instance follows the policy's other form from now on.
    Turn(usize),
    /// How long the next journeys take, in thousandths of the greatest age.
    Ways(u64, u64),
    Pass(Move),
}

#[derive(Clone, Copy, Debug)]
enum Cost {
    Units(u32),
    /// Thousandths of what the first quota holds.
    Share(u64),
    /// This much more than remains.
    Remaining(i64),
    /// This much more than what the smallest quota holds.
    Capacity(i64),
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Micros(u64),
    /// Thousandths of the greatest age.
    Age(u64),
    /// Thousandths of a quota's period.
    Share(usize, u64),
    /// To the end of the greatest age of the last refusal.
    Old(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let instance = || 0..INSTANCES;
    let subject = || prop_oneof![3 => Just(0), 1 => 0..SUBJECTS];
    let pass = prop_oneof![
        2 => (1_u64..=3).prop_map(Move::Micros),
        3 => (0_u64..=1_500).prop_map(Move::Age),
        2 => (0_usize..Policy::MAX_QUOTAS, 0_u64..=1_500).prop_map(|(quota, share)| Move::Share(quota, share)),
        1 => (-1_i64..=0).prop_map(Move::Old),
    ];
    prop_oneof![
        16 => (instance(), subject(), cost()).prop_map(|(at, subject, cost)| Step::Check(at, subject, cost)),
        2 => (instance(), subject(), cost()).prop_map(|(at, subject, cost)| Step::Peek(at, subject, cost)),
        8 => (instance(), prop_oneof![4 => Just(0), 1 => 1_u32..=3]).prop_map(|(at, more)| Step::Repeat(at, more)),
        6 => (instance(), -1_i64..=0).prop_map(|(at, beside)| Step::Again(at, beside)),
        2 => (instance(), 0_usize..4).prop_map(|(at, back)| Step::Refund(at, back)),
        1 => (instance(), subject()).prop_map(|(at, subject)| Step::Reset(at, subject)),
        1 => instance().prop_map(Step::Turn),
        1 => (0..=WAY, 0..=WAY).prop_map(|(there, back)| Step::Ways(there, back)),
        1 => Just(Step::Ways(0, 0)),
        8 => pass.prop_map(Step::Pass),
    ]
}

fn cost() -> impl Strategy<Value = Cost> {
    prop_oneof![
        5 => Just(Cost::Units(1)),
        3 => (0_u32..=8).prop_map(Cost::Units),
        2 => (0_u64..=1_000).prop_map(Cost::Share),
        4 => (-1_i64..=1).prop_map(Cost::Remaining),
        1 => (-1_i64..=1).prop_map(Cost::Capacity),
    ]
}

/// A case: two forms of one policy, the greatest age in microseconds, and what happens.
type Case = (Vec<Numbers>, Vec<Numbers>, u64, Vec<Step>);

/// Small ones, of which one soon has all, and any.
fn either(algorithm: Algorithm) -> impl Strategy<Value = Vec<Numbers>> {
    let small = (1_u32..=6, 1_000_u64..=3_000_000);
    let small = small.prop_map(|(limit, period)| Numbers::new(limit, period));
    prop_oneof![3 => prop::collection::vec(small, 1..=3), 1 => quotas(algorithm)]
}

fn case(algorithm: Algorithm) -> impl Strategy<Value = Case> {
    let max_age = prop_oneof![Just(1_000_000_u64), 1_000_u64..=50_000];
    let steps = prop::collection::vec(step(), 1..=60);
    (either(algorithm), either(algorithm), max_age, steps)
}

/// What makes room at the store.
struct Change {
    /// Who gave something back; nobody, if the policy changed its form.
    instance: Option<usize>,
    subject: String,
    at: u64,
    /// Whether who did it has been told that it is done.
    told: bool,
}

/// What all instances and their ways to the store see.
struct World {
    store: FarStore,
    changes: Mutex<Vec<Change>>,
    /// By which form of the policy the store counts a subject.
    forms: Mutex<HashMap<String, Policy>>,
    max_age: u64,
    /// When the last refusal of the store was asked for.
    refused_at: Mutex<u64>,
    counts: Mutex<HashMap<&'static str, u32>>,
}

/// An instance's way to the store.
struct Way {
    world: Arc<World>,
    instance: usize,
}

impl Backend for Way {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        self.world
            .store
            .apply_then(batch, || {
                for operation in batch {
                    self.world.happens(operation, Some(self.instance));
                }
            })
            .await
    }
}

impl World {
    /// The store carries this out, now.
    fn happens(&self, operation: &Operation<'_>, instance: Option<usize>) {
        let check = operation.check;
        let subject = check.subject.to_owned();
        let form = self.forms.lock().unwrap().insert(subject.clone(), check.policy.clone());
        let turned = form.is_some_and(|form| form != *check.policy);
        let gives_back = matches!(operation.action, Action::Reset | Action::Refund { .. });
        if turned || gives_back {
            let (at, instance) = (self.store.clock.now_micros(), instance.filter(|_| gives_back));
            self.changes.lock().unwrap().push(Change { instance, subject, at, told: false });
        }
    }

    /// What the store alone would say now.
    fn alone(&self, policy: &Policy, subject: &str, cost: u32) -> Outcome {
        // Even a look makes it count by that form.
        self.happens(&Operation::peek(Check::new(policy, subject, cost)), None);
        self.store.peek(policy, subject, cost).outcome()
    }

    /// Whether an instance that remembers a refusal may not know better.
    fn may_err(&self, instance: usize, subject: &str) -> bool {
        let now = self.store.clock.now_micros();
        self.changes.lock().unwrap().iter().any(|change| {
            let known = change.told && change.instance == Some(instance);
            change.subject == subject && !known && now < change.at + self.max_age
        })
    }

    fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }
}

/// One of the processes that share the store.
struct Instance {
    number: usize,
    world: Arc<World>,
    limiter: Limiter,
    /// One at a time, so that it is known which is done.
    changing: tokio::sync::Mutex<()>,
    granted: Mutex<Vec<(String, Decision)>>,
    /// The last refusal: what was asked for, and when to come again.
    refused: Mutex<Option<(Policy, String, u32, u64)>>,
    failures: Mutex<Vec<String>>,
}

impl Instance {
    async fn ask(&self, policy: Policy, subject: String, cost: u32, peeks: bool) {
        let world = &self.world;
        let alone = world.alone(&policy, &subject, cost);
        // Nothing is awaited between this look and the deny cache's.
        let asked_at = world.store.clock.now_micros();
        let may_err = world.may_err(self.number, &subject);
        let decision = if peeks {
            self.limiter.peek(&policy, &subject, cost).await.unwrap()
        } else {
            self.limiter.check_cost(&policy, &subject, cost).await.unwrap()
        };
        if let Outcome::Refused { retry_after } = decision.outcome() {
            let again = world.store.clock.now_micros() + retry_after.as_micros() as u64;
            *self.refused.lock().unwrap() = Some((policy, subject.clone(), cost, again));
        }
        match decision.source() {
            Source::Store => {
                world.count("by the store");
                if decision.outcome() != Outcome::Allowed {
                    *world.refused_at.lock().unwrap() = asked_at;
                }
                if world.store.clock.now_micros() == asked_at && decision.outcome() != alone {
                    let said = decision.outcome();
                    self.fail(format!("{subject} {cost}: the store is said to say {said:?}"));
                }
            }
            Source::DenyCache => {
                world.count("by the deny cache");
                let now = world.store.clock.now_micros();
                let right = match (decision.outcome(), alone) {
                    // The same cost or a smaller one was told when to come.
                    (Outcome::Refused { retry_after: said }, Outcome::Refused { retry_after }) => {
                        said > Duration::ZERO && (said <= retry_after + self.slack() || may_err)
                    }
                    (Outcome::Never, Outcome::Never) => true,
                    (Outcome::Refused { .. }, Outcome::Allowed) if may_err => {
                        world.count("wrong for a change elsewhere");
                        true
                    }
                    _ => false,
                };
                if !right || now != asked_at {
                    let said = decision.outcome();
                    self.fail(format!("{subject} {cost}: it says {said:?}, the store {alone:?}"));
                }
            }
            other => self.fail(format!("decided by {other:?}")),
        }
        if decision.is_allowed() && !peeks {
            self.granted.lock().unwrap().push((subject, decision));
        }
    }

    /// A refusal's times count from when it was told, which is later than when it was given; but
    /// none is remembered that took longer than that.
    fn slack(&self) -> Duration {
        Duration::from_micros(self.world.max_age)
    }

    async fn reset(&self, policy: Policy, subject: String) {
        let _changing = self.changing.lock().await;
        self.limiter.reset(&policy, &subject).await.unwrap();
        self.told(&subject);
    }

    async fn refund(&self, subject: String, decision: Decision) {
        let _changing = self.changing.lock().await;
        let _ = self.limiter.refund(decision).await.unwrap();
        self.told(&subject);
    }

    /// It is told of a change, and no other of its own is under way.
    fn told(&self, subject: &str) {
        for change in self.world.changes.lock().unwrap().iter_mut() {
            change.told |= change.instance == Some(self.number) && change.subject == subject;
        }
    }

    fn fail(&self, what: String) {
        let now = self.world.store.clock.now_micros();
        self.failures.lock().unwrap().push(format!("at {now}, instance {}: {what}", self.number));
    }
}

async fn play(case: &Case, algorithm: Algorithm) -> Result<Arc<World>, String> {
    let (numbers, other_numbers, max_age, steps) = case;
    let forms = [numbers, other_numbers].map(|numbers| Numbers::policy(algorithm, numbers));
    let world = Arc::new(World {
        store: FarStore::new(),
        changes: Mutex::default(),
        forms: Mutex::default(),
        max_age: *max_age,
        refused_at: Mutex::default(),
        counts: Mutex::default(),
    });
    let instances: Vec<Arc<Instance>> = (0..INSTANCES)
        .map(|number| {
            let way = Way { world: Arc::clone(&world), instance: number };
            let tier = LocalTier::deny_cache().max_age(Duration::from_micros(*max_age));
            let limiter = limiter_on(way, &world.store.clock).local_tier(tier).build();
            Arc::new(Instance {
                number,
                world: Arc::clone(&world),
                limiter,
                changing: tokio::sync::Mutex::default(),
                granted: Mutex::default(),
                refused: Mutex::default(),
                failures: Mutex::default(),
            })
        })
        .collect();
    let mut turned = [0; INSTANCES];
    let named = |subject: usize| format!("subject {subject}");
    for step in steps {
        match *step {
            Step::Check(at, subject, cost) | Step::Peek(at, subject, cost) => {
                let (instance, policy) = (Arc::clone(&instances[at]), forms[turned[at]].clone());
                let subject = named(subject);
                let cost = units(&world, &policy, &subject, cost);
                let peeks = matches!(step, Step::Peek(..));
                tokio::spawn(async move { instance.ask(policy, subject, cost, peeks).await });
            }
            Step::Again(at, beside) => {
                let instance = Arc::clone(&instances[at]);
                let refused = instance.refused.lock().unwrap().take();
                let Some((policy, subject, cost, again)) = refused else { continue };
                let now = world.store.clock.now_micros();
                // Years are for other tests.
                let until = again.saturating_add_signed(beside).min(now + 10 * world.max_age);
                pass(&world, until).await;
                tokio::spawn(async move { instance.ask(policy, subject, cost, false).await });
            }
            Step::Repeat(at, more) => {
                let instance = Arc::clone(&instances[at]);
                let refused = instance.refused.lock().unwrap().clone();
                let Some((policy, subject, cost, _)) = refused else { continue };
                let cost = cost.saturating_add(more);
                tokio::spawn(async move { instance.ask(policy, subject, cost, false).await });
            }
            Step::Refund(at, back) => {
                let instance = Arc::clone(&instances[at]);
                let mut granted = instance.granted.lock().unwrap();
                let Some(index) = granted.len().checked_sub(back + 1) else { continue };
                let (subject, decision) = granted.remove(index);
                drop(granted);
                tokio::spawn(async move { instance.refund(subject, decision).await });
            }
            Step::Reset(at, subject) => {
                let (instance, policy) = (Arc::clone(&instances[at]), forms[turned[at]].clone());
                tokio::spawn(async move { instance.reset(policy, named(subject)).await });
            }
            Step::Turn(at) => turned[at] = 1 - turned[at],
            Step::Ways(there, back) => {
                world.store.set_ways([there, back].map(|way| max_age * way / 1_000));
            }
            Step::Pass(by) => {
                let now = world.store.clock.now_micros();
                let until = match by {
                    Move::Micros(micros) => now + micros,
                    Move::Age(share) => now + max_age * share / 1_000,
                    Move::Share(quota, share) => {
                        let period = numbers[quota % numbers.len()].period;
                        now + (u128::from(period) * u128::from(share) / 1_000) as u64
                    }
                    Move::Old(beside) => {
                        let refused_at = *world.refused_at.lock().unwrap();
                        (refused_at + max_age).saturating_add_signed(beside)
                    }
                };
                pass(&world, until).await;
            }
        }
        settle().await;
    }
    for _ in 0..4 {
        pass(&world, world.store.clock.now_micros() + max_age).await;
    }
    let failed = instances.iter().flat_map(|instance| instance.failures.lock().unwrap().clone());
    let failed: Vec<String> = failed.collect();
    if failed.is_empty() { Ok(world) } else { Err(failed.join("\n")) }
}

fn units(world: &World, policy: &Policy, subject: &str, cost: Cost) -> u32 {
    let capacity = |policy: &Policy| {
        // Nothing of it is in use.
        let quotas = world.store.peek(policy, "nobody", 0);
        let capacities = quotas.quotas().iter().map(|quota| quota.remaining());
        i64::from(capacities.min().unwrap())
    };
    let units = match cost {
        Cost::Units(units) => units.into(),
        Cost::Share(share) => capacity(policy) * share as i64 / 1_000,
        Cost::Remaining(more) => {
            world.alone(policy, subject, 0);
            let quotas = world.store.peek(policy, subject, 0);
            i64::from(quotas.quotas().iter().map(|quota| quota.remaining()).min().unwrap()) + more
        }
        Cost::Capacity(more) => capacity(policy) + more,
    };
    units.clamp(0, u32::MAX.into()) as u32
}

async fn pass(world: &World, until: u64) {
    let clock = &world.store.clock;
    clock.advance(Duration::from_micros(until.saturating_sub(clock.now_micros())));
    settle().await;
}

#[test]
fn never_more_and_never_wrongly_less_than_the_store_alone() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let counts = RefCell::new(HashMap::<&str, u32>::new());
    let cases = scaled(150, 20_000);
    for &algorithm in Algorithm::ALL {
        let config =
            ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
        let outcome = TestRunner::new(config).run(&case(algorithm), |case| {
            let world = runtime.block_on(play(&case, algorithm)).map_err(TestCaseError::fail)?;
            for (what, times) in world.counts.lock().unwrap().iter() {
                *counts.borrow_mut().entry(what).or_default() += times;
            }
            Ok(())
        });
        if let Err(failure) = outcome {
            panic!("{algorithm:?}: {failure:#}");
        }
    }
    let counts = counts.into_inner();
    println!("decided {counts:?}");
    // It must have gone where it matters.
    for what in ["by the store", "by the deny cache", "wrong for a change elsewhere"] {
        let times = counts.get(what).copied().unwrap_or(0);
        assert!(times >= cases / 6, "{what}: only {times} times; all: {counts:?}");
    }
}

/// Two instances whose policies differ in the period. After a change of the form, the store once
/// forgot the end of a counter's window that it had told, and admitted earlier than it had said.
#[test]
fn a_told_wait_stands_after_the_period_of_a_counter_has_changed() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let steps = vec![
        Step::Turn(1),
        Step::Check(0, 0, Cost::Remaining(0)),
        Step::Ways(0, 0),
        Step::Check(1, 0, Cost::Share(750)),
        Step::Pass(Move::Old(-1)),
        Step::Pass(Move::Age(82)),
        Step::Check(0, 0, Cost::Units(1)),
        Step::Pass(Move::Age(732)),
        Step::Pass(Move::Share(0, 510)),
        Step::Repeat(1, 0),
        Step::Pass(Move::Age(500)),
        Step::Check(1, 0, Cost::Units(1)),
        Step::Pass(Move::Old(-1)),
        Step::Check(1, 0, Cost::Units(1)),
    ];
    let forms = [Numbers::new(5, 33_886), Numbers::new(4, 1_884_967)];
    let [one, other] = forms.map(|numbers| vec![numbers]);
    let case = (one, other, 1_000_000, steps);
    let played = runtime.block_on(play(&case, Algorithm::SlidingWindowCounter));
    assert_eq!(played.err(), None);
}

/// A wait that is told by what another form has admitted ends when the store forgets that. It was once
/// told in full, and instances that remembered it refused for longer than the store.
#[test]
fn nobody_is_refused_for_what_the_store_has_forgotten() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let steps = vec![
        Step::Turn(0),
        Step::Check(0, 0, Cost::Share(167)),
        Step::Pass(Move::Age(1_085)),
        Step::Pass(Move::Age(182)),
        Step::Check(1, 0, Cost::Units(1)),
        Step::Check(0, 0, Cost::Units(1)),
        Step::Check(0, 0, Cost::Units(1)),
        Step::Pass(Move::Age(391)),
        Step::Pass(Move::Age(40)),
        Step::Check(1, 0, Cost::Units(1)),
        Step::Pass(Move::Age(682)),
        Step::Pass(Move::Share(0, 627)),
        Step::Check(1, 0, Cost::Units(1)),
        Step::Again(1, -1),
    ];
    let form = [(1, 88_536), (1, 37_871), (1, 1_624_851)];
    let form = form.map(|(limit, period)| Numbers::new(limit, period)).to_vec();
    let case = (form, vec![Numbers::new(6, 936_320)], 1_000_000, steps);
    let played = runtime.block_on(play(&case, Algorithm::SlidingWindowCounter));
    assert_eq!(played.err(), None);
}
