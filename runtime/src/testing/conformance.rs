//! A test suite for stores.

mod random;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use self::random::Random;
use super::ManualClock;
use crate::operation::{Action, Answer, Operation};
use crate::verdict::Verdict;
use crate::{Algorithm, Backend, Check, MemoryBackend, Outcome, Policy, Quota, Settled};

/// The number of random sequences of operations for each algorithm, and as many with what the store
/// supports beyond what all do.
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
/// Settlements and bans are tested if the store supports them; otherwise it must answer
/// [`Answer::Unsupported`].
///
/// A refund may give back fewer units than possible, or none, and so may a settlement that comes to
/// less than was charged; what a refund forgives is forgiven all the same. Everything else must
/// be equal to the microsecond. The sequences are the same in every run.
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
    let mut suite = Suite { backend: Arc::new(backend), memory, clock, random: Random::new() };
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

/// What a store supports beyond charges, peeks, refunds and resets.
#[derive(Clone, Copy, Default)]
struct Supported {
    settlements: bool,
    bans: bool,
}

/// The result of a test, or, as the error, the description of the store's mistake.
type TestResult<T = ()> = Result<T, String>;

impl<B: Backend> Suite<'_, B> {
    async fn run(&mut self, algorithms: &[Algorithm]) -> TestResult {
        for &algorithm in algorithms {
            let supported = self.supported(algorithm).await?;
            self.keeps_keys_apart(algorithm).await?;
            self.answers_in_order(algorithm).await?;
            self.admits_no_more_at_once(algorithm).await?;
            for number in 0..TRACES {
                self.decides_alike(algorithm, number, Supported::default()).await?;
            }
            if supported.settlements || supported.bans {
                for number in TRACES..2 * TRACES {
                    self.decides_alike(algorithm, number, supported).await?;
                }
            }
        }
        Ok(())
    }

    async fn supported(&self, algorithm: Algorithm) -> TestResult<Supported> {
        let policy = policy(algorithm, "supported", Quota::new(1, HOUR));
        let check = Check::new(&policy, "nobody", 1);
        let settle = self.ask(Operation::settle(check, 0, 1)).await?;
        let unban = self.ask(Operation::unban(check)).await?;
        Ok(Supported {
            settlements: settle != Answer::Unsupported,
            bans: unban != Answer::Unsupported,
        })
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
    async fn decides_alike(
        &mut self,
        algorithm: Algorithm,
        number: u32,
        supported: Supported,
    ) -> TestResult {
        let policy = self.random.policy(algorithm, number, supported);
        let of = |action, cost| Operation { check: Check::new(&policy, "trace", cost), action };
        let quotas = policy.quotas();
        let spans = quotas.iter().map(Quota::period).chain(policy.get_ban().map(|ban| ban.first()));
        let longest = spans.max().unwrap_or_default();
        let capacity = quotas.iter().map(Quota::capacity).min().unwrap_or_default();
        let ban = policy.get_ban().map(|ban| format!(", banned {ban}")).unwrap_or_default();
        let mut asked = vec![format!("by `{}`, {}{ban}:", algorithm.as_str(), listed(quotas))];
        let (mut retry_after, mut charged) = (Duration::ZERO, Vec::new());
        for _ in 0..STEPS {
            let pause = self.random.pause(longest, retry_after);
            self.clock.advance(pause);
            // The actions for the store and for the memory backend differ in the charge ids (the
            // times of the charges) in refunds and settlements.
            let (cost, [action, our_action]) =
                self.random.action(capacity, supported, &mut charged);
            asked.push(format!("{pause:?} later {action:?} of {cost}"));
            let answer = self.ask_either_way(of(action, cost)).await?;
            let right = self.right(of(our_action, cost))?;
            match (&answer, &right) {
                (Answer::Verdict(theirs), Answer::Verdict(ours)) if is_same(theirs, ours) => {
                    match (ours.outcome(), action) {
                        (
                            Outcome::Refused { retry_after: span }
                            | Outcome::Banned { retry_after: span },
                            _,
                        ) => retry_after = span,
                        (Outcome::Allowed, Action::Charge) if cost > 0 => {
                            charged.push((cost, [theirs, ours].map(Verdict::stamp_micros)));
                        }
                        _ => {}
                    }
                }
                (Answer::Reset, Answer::Reset) => charged.clear(),
                (Answer::Banned, Answer::Banned) => {}
                (Answer::Unbanned(theirs), Answer::Unbanned(ours)) if theirs == ours => {}
                (Answer::Settled(Settled::Charged), Answer::Settled(Settled::Charged))
                | (Answer::Settled(Settled::Unchanged), Answer::Settled(Settled::Unchanged)) => {}
                (Answer::Refunded(false), Answer::Refunded(_))
                | (Answer::Refunded(true), Answer::Refunded(true))
                | (
                    Answer::Settled(Settled::Nothing),
                    Answer::Settled(Settled::Nothing | Settled::Refunded),
                )
                | (Answer::Settled(Settled::Refunded), Answer::Settled(Settled::Refunded)) => {
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
