//! Backends: where counters live.

pub(crate) mod erased;
mod gauges;
pub(crate) mod memory;
#[cfg(feature = "redis")]
mod redis;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;

pub(crate) use self::gauges::Gauges;
pub use self::memory::{MemoryBackend, MemoryBackendBuilder};
#[cfg(feature = "redis")]
pub use self::redis::{RedisBackend, RedisBackendBuilder};
use crate::policy::MAX_QUOTAS;
use crate::{BackendError, Outcome, Policy, QuotaState, Source};

/// A store of counters.
///
/// Implement this to keep counters somewhere else. A store decides on its own clock, and each
/// operation is atomic: no two of them, from whatever process, may both take the last unit.
/// It only answers; deadlines, retries and what happens when it fails are the limiter's part.
pub trait Backend: Send + Sync + 'static {
    /// Carries out `batch` in its order, and answers in the same order: one answer for each
    /// operation.
    fn apply(
        &self,
        batch: &[Operation<'_>],
    ) -> impl Future<Output = Vec<Result<Answer, BackendError>>> + Send;

    /// Carries out one operation if that takes no waiting. `None`: it would have to wait, and
    /// nothing was done.
    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        let _ = operation;
        None
    }

    /// As [`apply_now`](Self::apply_now) for a charge, whose verdict it writes in place.
    #[doc(hidden)]
    #[inline]
    fn charge_now(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        let operation = Operation { policy, subject, action: Action::Charge { cost } };
        Some(self.apply_now(&operation)?.and_then(|answer| answer.into_verdict(verdict)))
    }

    /// Whether it always answers without waiting, as memory does, and never fails. Then nothing
    /// stands between it and the limiter: no deadline, no breaker, no deny cache.
    #[doc(hidden)]
    fn answers_at_once(&self) -> bool {
        false
    }

    /// Takes over that no operation takes longer than `deadline`, where that was set (else it
    /// keeps its own). `false`: it leaves that to the limiter.
    #[doc(hidden)]
    fn keeps_deadline(&mut self, deadline: Option<Duration>) -> bool {
        let _ = deadline;
        false
    }

    /// A word for it, as for a metric's label.
    fn name(&self) -> &'static str {
        "custom"
    }

    /// Its instruments, if it has some.
    #[doc(hidden)]
    fn gauges(&self) -> Option<Arc<dyn Gauges>> {
        None
    }

    /// Connects, checks and warms up whatever would otherwise be found out by the first
    /// request.
    fn initialize(&self) -> impl Future<Output = Result<(), BackendError>> + Send {
        async { Ok(()) }
    }

    /// Finishes what is under way and lets go of what the store holds.
    fn close(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// A store's answer is of another kind than the question.
pub(crate) fn mismatched(asked: &str, answer: &Answer) -> BackendError {
    BackendError::unknown(format!("it answered {asked} with {answer:?}"))
}

/// One thing to do for one subject of one policy.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// Whose quotas apply; its name is part of the key.
    pub policy: &'a Policy,
    /// Whose requests are counted: the other part of the key.
    pub subject: &'a str,
    /// What to do.
    pub action: Action,
}

/// What an [`Operation`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Take `cost` if every quota admits it, and otherwise nothing. A cost of 0 takes nothing.
    Charge {
        /// How much the request takes.
        cost: u32,
    },
    /// Say what a charge would be answered, and take nothing.
    Peek {
        /// How much the request would take.
        cost: u32,
    },
    /// Forget the subject.
    Reset,
    /// Give back what a charge took: never below empty, and rather too little than too much.
    Refund {
        /// [`Verdict::stamp_micros`] of the charge.
        stamp_micros: u64,
        /// The cost of the charge.
        cost: u32,
        /// Who took it, and gives it back: a store is only asked for its own.
        source: Source,
    },
}

/// What a store answers to an [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// To a charge or a peek.
    Verdict(Verdict),
    /// To a reset: it is done.
    Reset,
    /// To a refund: whether there was something to give back.
    Refunded(bool),
}

impl Answer {
    /// Moves the verdict that it should be.
    pub(crate) fn into_verdict(self, verdict: &mut Verdict) -> Result<(), BackendError> {
        match self {
            Self::Verdict(given) => {
                *verdict = given;
                Ok(())
            }
            other => Err(mismatched("a check", &other)),
        }
    }
}

/// What a store says to a charge or a peek: the outcome, and how each quota stands after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    outcome: Outcome,
    source: Source,
    stamp_micros: u64,
    states: ArrayVec<QuotaState, MAX_QUOTAS>,
}

impl Verdict {
    /// A verdict given at `stamp_micros` on the store's clock.
    #[must_use]
    pub fn new(outcome: Outcome, stamp_micros: u64) -> Self {
        Self { outcome, source: Source::Store, stamp_micros, states: ArrayVec::new() }
    }

    /// The same, said by somebody else.
    pub(crate) fn from(self, source: Source) -> Self {
        Self { source, ..self }
    }

    #[inline]
    pub(crate) fn set_source(&mut self, source: Source) {
        self.source = source;
    }

    #[inline]
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    pub(crate) fn with_outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    /// Says something else, of which [`push`](Self::push) adds the rest.
    #[inline]
    pub(crate) fn say(&mut self, outcome: Outcome, stamp_micros: u64) {
        self.outcome = outcome;
        self.stamp_micros = stamp_micros;
        self.states.clear();
    }

    /// Adds the state of the policy's next quota, in written order.
    ///
    /// # Panics
    ///
    /// Past [`MAX_QUOTAS`], which is the most that a policy holds.
    #[inline]
    pub fn push(&mut self, state: QuotaState) {
        self.states.push(state);
    }

    /// What was decided.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// When, in microseconds on the store's clock. With the cost it names the charge.
    #[must_use]
    pub fn stamp_micros(&self) -> u64 {
        self.stamp_micros
    }

    /// How each quota stands, in written order.
    #[must_use]
    pub fn quotas(&self) -> &[QuotaState] {
        &self.states
    }
}
