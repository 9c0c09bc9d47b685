//! A test suite for stores.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::ManualClock;
use crate::operation::{Action, Answer, Operation};
use crate::verdict::Verdict;
use crate::{Algorithm, Backend, Check, MemoryBackend, Outcome, Policy, Quota, Source};

/// The number of random sequences of operations for each algorithm.
const TRACES: u32 = 60;
/// The number of operations in a random sequence.
const STEPS: u32 = 60;
/// The number of concurrent requests that compete for the last units.
const CROWD: u32 = 64;
const HOUR: Duration = Duration::from_secs(3_600);

/// Tests a store of your own. For each of `algorithms`, it runs random sequences of charges, peeks,
/// refunds and resets on policies with one to three quotas. It compares the store's answers with
/// those of [`MemoryBackend`], which follow the algorithm's definition. It also asserts that the
/// store separates policies and subjects, answers batches in order, and admits no more than the
/// limit when requests are concurrent.
///
/// The store must be empty and must read the time from `clock`, which this function moves. A store
/// should decide by the clock of its server, so it needs a way to set that clock in tests. Call
/// this function in a tokio runtime, preferably a multi-threaded one: in a single-threaded one,
/// requests are concurrent only if the store yields in the middle of an operation.
///
/// A refund may give back fewer units than possible, or none. Everything else must be equal to the
/// microsecond. The sequences are the same in every run.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use tollgate::testing::{ManualClock, assert_conforms};
/// use tollgate::{Algorithm, MemoryBackend};
///
/// let clock = ManualClock::new();
/// let store = MemoryBackend::builder().clock(clock.clone()).build();
/// assert_conforms(store, &clock, Algorithm::ALL).await;
/// # });
/// ```
///
/// # Panics
///
/// If the store answers wrongly or fails. The message contains the operations, the store's answer
/// and the expected answer.
pub async fn assert_conforms(backend: impl Backend, clock: &ManualClock, algorithms: &[Algorithm]) {
    let memory = MemoryBackend::builder().clock(clock.clone()).build();
    let mut suite = Suite { backend: Arc::new(backend), memory, clock, random: Random(1) };
    let found = suite.run(algorithms).await;
    assert!(found.is_ok(), "{}", found.err().unwrap_or_default());
}

struct Suite<'a, B> {
    backend: Arc<B>,
    /// The memory backend, which provides the expected answers.
    memory: MemoryBackend,
    clock: &'a ManualClock,
    random: Random,
}

/// The result of a test, or, as the error, the description of the store's mistake.
type TestResult<T = ()> = Result<T, String>;

impl<B: Backend> Suite<'_, B> {
    async fn run(&mut self, algorithms: &[Algorithm]) -> TestResult {
        for &algorithm in algorithms {
            self.keeps_keys_apart(algorithm).await?;
            self.answers_in_order(algorithm).await?;
            self.admits_no_more_at_once(algorithm).await?;
            for number in 0..TRACES {
                self.decides_alike(algorithm, number).await?;
            }
        }
        Ok(())
    }

    async fn keeps_keys_apart(&self, algorithm: Algorithm) -> TestResult {
        let long = "long ".repeat(25);
        let subjects =
            ["a:b", "b", "a", "A", "", "a|b", "{a}", "a\nb", "ä", "*", &long, &long[1..]];
        for name in ["apart", "apart:a", "aparta"] {
            let policy = policy(algorithm, name, Quota::new(1, HOUR));
            for subject in subjects {
                let charge = Operation::charge(Check::new(&policy, subject, 1));
                let outcomes =
                    [self.verdict(charge).await?.outcome(), self.verdict(charge).await?.outcome()];
                if !matches!(outcomes, [Outcome::Allowed, Outcome::Refused { .. }]) {
                    let name = policy.name();
                    return Err(format!(
                        "policy and subject are the key: of {name:?} and {subject:?}, with a limit \
                         of 1, the first is to be allowed and the second refused, and the store \
                         answers {outcomes:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    async fn answers_in_order(&self, algorithm: Algorithm) -> TestResult {
        let policy = &policy(algorithm, "batch", Quota::new(2, HOUR));
        let of = |subject, cost| Check::new(policy, subject, cost);
        let batch = [
            Operation::charge(of("a", 2)),
            Operation::charge(of("b", 1)),
            Operation::peek(of("a", 1)),
            Operation::reset(of("a", 0)),
            Operation::charge(of("a", 1)),
            Operation::charge(of("b", 3)),
        ];
        let answers = self.backend.apply(&batch).await;
        let outcomes: Vec<Option<Outcome>> = answers
            .iter()
            .map(|answer| match answer {
                Ok(Answer::Verdict(verdict)) => Some(verdict.outcome()),
                _ => None,
            })
            .collect();
        let is_refused =
            |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Refused { .. }));
        let allowed = Some(Outcome::Allowed);
        let is_right = matches!(&outcomes[..], [a, b, peek, None, again, never]
            if [a, b, again] == [&allowed; 3]
                && is_refused(peek)
                && *never == Some(Outcome::Never));
        if !is_right || !self.backend.apply(&[]).await.is_empty() {
            return Err(format!(
                "a batch has one answer for each operation, in its order: the store answers \
                 {batch:?} with {answers:?}"
            ));
        }
        Ok(())
    }

    /// Sends charges from many tasks at once. The clock does not move, so that no units are
    /// replenished meanwhile.
    async fn admits_no_more_at_once(&self, algorithm: Algorithm) -> TestResult {
        const LIMIT: u32 = 20;
        let policy = policy(algorithm, "crowd", Quota::new(LIMIT, HOUR));
        let ask = || {
            let (backend, policy) = (Arc::clone(&self.backend), policy.clone());
            tokio::spawn(async move {
                let charge = Operation::charge(Check::new(&policy, "crowd", 1));
                let answers = backend.apply(&[charge]).await;
                matches!(&answers[..], [Ok(Answer::Verdict(verdict))]
                    if verdict.outcome() == Outcome::Allowed)
            })
        };
        let crowd: Vec<_> = (0..CROWD).map(|_| ask()).collect();
        let mut admitted = 0;
        for one in crowd {
            admitted += u32::from(one.await.is_ok_and(|is_admitted| is_admitted));
        }
        if admitted != LIMIT {
            return Err(format!(
                "each operation is atomic: of {CROWD} concurrent requests the store admits \
                 {admitted}, and the limit is {LIMIT}"
            ));
        }
        Ok(())
    }

    /// Runs a random sequence of operations for one subject, and compares the store's answers with
    /// those of the memory backend.
    async fn decides_alike(&mut self, algorithm: Algorithm, number: u32) -> TestResult {
        let policy = self.random.policy(algorithm, number);
        let of = |action, cost| Operation { check: Check::new(&policy, "trace", cost), action };
        let quotas = policy.quotas();
        let longest = quotas.iter().map(Quota::period).max().unwrap_or_default();
        let capacity = quotas.iter().map(Quota::capacity).min().unwrap_or_default();
        let mut asked = vec![format!("by `{}`, {}:", algorithm.as_str(), listed(quotas))];
        let (mut retry_after, mut charged) = (Duration::ZERO, Vec::new());
        for _ in 0..STEPS {
            let pause = self.random.pause(longest, retry_after);
            self.clock.advance(pause);
            // The actions for the store and for the memory backend differ in the charge ids (the
            // times of the charges) in refunds.
            let (cost, [action, our_action]) = self.random.action(capacity, &mut charged);
            asked.push(format!("{pause:?} later {action:?} of {cost}"));
            let answer = self.ask_either_way(of(action, cost)).await?;
            let right = self.right(of(our_action, cost))?;
            match (&answer, &right) {
                (Answer::Verdict(theirs), Answer::Verdict(ours)) if is_same(theirs, ours) => {
                    match (ours.outcome(), action) {
                        (Outcome::Refused { retry_after: span }, _) => retry_after = span,
                        (Outcome::Allowed, Action::Charge) if cost > 0 => {
                            charged.push((cost, [theirs, ours].map(Verdict::stamp_micros)));
                        }
                        _ => {}
                    }
                }
                (Answer::Reset, Answer::Reset) => charged.clear(),
                (Answer::Refunded(false), Answer::Refunded(_))
                | (Answer::Refunded(true), Answer::Refunded(true)) => {
                    let peek = of(Action::Peek, 1);
                    let theirs = self.verdict(peek).await?;
                    let Answer::Verdict(ours) = self.right(peek)? else { return Ok(()) };
                    let mut pairs = theirs.quotas().iter().zip(ours.quotas());
                    if pairs.any(|(theirs, ours)| theirs.remaining() > ours.remaining()) {
                        return Err(wrong(&asked, &theirs, &ours));
                    }
                    if !is_same(&theirs, &ours) {
                        // The store has given back fewer units, which is allowed. Its answers
                        // differ from here on, so the sequence ends.
                        return Ok(());
                    }
                }
                _ => return Err(wrong(&asked, &answer, &right)),
            }
        }
        Ok(())
    }

    fn right(&self, operation: Operation<'_>) -> TestResult<Answer> {
        let answer = self.memory.apply_now(&operation);
        answer.and_then(Result::ok).ok_or_else(|| format!("{operation:?} cannot be answered"))
    }

    async fn verdict(&self, operation: Operation<'_>) -> TestResult<Verdict> {
        match self.ask(operation).await? {
            Answer::Verdict(verdict) => Ok(verdict),
            other => Err(format!("the store answers {operation:?} with {other:?}")),
        }
    }

    async fn ask(&self, operation: Operation<'_>) -> TestResult<Answer> {
        match &self.backend.apply(&[operation]).await[..] {
            [Ok(answer)] => Ok(answer.clone()),
            answers => Err(format!("the store answers {operation:?} with {answers:?}")),
        }
    }

    /// Applies the operation to the store. In half of the cases, chosen at random, it does so
    /// without waiting if the store can.
    async fn ask_either_way(&mut self, operation: Operation<'_>) -> TestResult<Answer> {
        if self.random.below(2) == 0
            && let Some(answer) = self.backend.apply_now(&operation)
        {
            return answer.map_err(|error| format!("the store fails {operation:?}: {error}"));
        }
        self.ask(operation).await
    }
}

fn policy(algorithm: Algorithm, name: &str, quota: Quota) -> Policy {
    Policy::named(format!("{} {name}", algorithm.as_str()), quota).algorithm(algorithm)
}

fn listed(quotas: &[Quota]) -> String {
    let text = |quota: &Quota| {
        let (limit, period, burst) = (quota.limit(), quota.period(), quota.capacity());
        format!("{limit} per {period:?} (at most {burst} at once)")
    };
    quotas.iter().map(text).collect::<Vec<_>>().join(" and ")
}

fn is_same(theirs: &Verdict, ours: &Verdict) -> bool {
    theirs.outcome() == ours.outcome() && theirs.quotas() == ours.quotas()
}

fn wrong(asked: &[String], answer: &impl Debug, right: &impl Debug) -> String {
    let asked = asked.join("\n  ");
    format!("{asked}\nthe store answers\n  {answer:?}\nand should answer\n  {right:?}")
}

/// A [SplitMix64](https://doi.org/10.1145/2714064.2660195) random number generator with a fixed
/// seed, so that all runs are the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a random number less than `end`, which must be at least 1.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }

    /// Returns a random policy with one to three quotas. They are small enough to be used up.
    fn policy(&mut self, algorithm: Algorithm, number: u32) -> Policy {
        let quota = self.quota(algorithm);
        let mut all = policy(algorithm, &format!("trace {number}"), quota);
        for _ in 0..self.below(3) {
            all = all.and(self.quota(algorithm));
        }
        all
    }

    fn quota(&mut self, algorithm: Algorithm) -> Quota {
        let limit = self.of(&[1, 2, 3, 5, 7, 10, 30]);
        let quota = Quota::new(limit, Duration::from_millis(self.of(&[250, 1_000, 7_001, 60_000])));
        if algorithm.has_bucket() && self.below(2) == 0 {
            return quota.burst(self.of(&[1, 2, 5, 20]));
        }
        quota
    }

    /// Returns the time until the next action: zero, the time after which a request is just
    /// admitted again, a microsecond less, or a random time.
    fn pause(&mut self, longest: Duration, retry_after: Duration) -> Duration {
        match self.below(8) {
            0..4 => Duration::ZERO,
            4 => retry_after,
            5 => retry_after.saturating_sub(Duration::from_micros(1)),
            6 => Duration::from_micros(self.below(longest.as_micros() as u64 / 8 + 1)),
            _ => Duration::from_micros(self.below(longest.as_micros() as u64 * 2)),
        }
    }

    /// Returns the next action and its cost. The action is returned twice, with the charge ids of
    /// the store and with those of the memory backend.
    fn action(&mut self, capacity: u32, charged: &mut Vec<(u32, [u64; 2])>) -> (u32, [Action; 2]) {
        match self.below(20) {
            0 => return (0, [Action::Reset; 2]),
            1..4 if !charged.is_empty() => {
                let (cost, stamps) = charged.swap_remove(self.below(charged.len() as u64) as usize);
                let source = Source::Store;
                return (
                    cost,
                    stamps.map(|stamp_micros| Action::Refund {
                        stamp_micros,
                        source,
                        forgives: false,
                    }),
                );
            }
            4..7 => return (self.of(&[0, 1, 2, capacity]), [Action::Peek; 2]),
            _ => {}
        }
        (self.of(&[0, 1, 1, 1, 1, 1, 1, 2, capacity, capacity + 1]), [Action::Charge; 2])
    }
}
