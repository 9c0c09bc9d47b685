//! The six algorithms as they are defined, put as naively as can be: what was charged, and the
//! rule. It shares nothing with the limiter.
//!
//! A definition says only whether so many units are admitted at some instant. Everything else a
//! decision tells (what remains, when to come again, when there is more, when all is back) is
//! found by asking it again and again, not by a formula.

mod bans;
mod calendar;
mod changed_buckets;
mod changed_windows;
mod fixed_window;
mod gcra;
mod leaky_bucket;
mod listed;
mod numbers;
mod property;
mod sliding_window;
mod sliding_window_counter;
mod token_bucket;
mod trace;

use std::time::Duration;

use tollgate::{Algorithm, Outcome, QuotaState, Settled};

pub use self::bans::{BanNumbers, Banned, bans, spans};
pub use self::calendar::CalendarNumbers;
pub use self::changed_buckets::ChangedBuckets;
pub use self::changed_windows::ChangedWindows;
pub use self::listed::Listed;
pub use self::numbers::{DAY, Numbers, TEN_YEARS, has_bucket, numbers, quotas};
pub use self::property::{Jump, cases, for_all_six, jump, micros, said, said_of, worst_window};
pub use self::trace::{
    Action, Actual, Answer, Cost, Event, Move, START, Step, actual, play, play_with_ban,
    settled_steps, steps,
};

/// Longer than any quota takes to be whole again: a bucket may take ten years to fill, and a debt
/// ten years and a period to be worked off.
const FOREVER: u64 = 11 * 366 * DAY;

/// The most units that anything counts up to.
const MOST: u64 = u32::MAX as u64;

/// One quota, by its definition. Instants and spans are microseconds; instants never go back.
pub trait Definition {
    /// Whether `units`, which are at most what it can hold, are admitted at `now`.
    fn admits(&self, now: u64, units: u64) -> bool;

    /// Takes `units` that were admitted.
    fn charge(&mut self, now: u64, units: u64);

    /// Gives back as many of the `units` that were charged at `stamp`. False: there was nothing to
    /// give back.
    fn give_back(&mut self, now: u64, stamp: u64, units: u64, back: u64) -> bool;

    /// Takes `units`, whatever there is room for: a debt.
    fn owe(&mut self, now: u64, units: u64);

    /// Judges what was charged by another limit from now on. A bucket cannot: its level means
    /// another number of units then.
    fn relimit(&mut self, limit: u32) {
        panic!("a bucket has no limit but {limit}'s own");
    }
}

/// A policy's quotas, by their definitions.
pub struct Reference {
    algorithm: Algorithm,
    numbers: Vec<Numbers>,
    definitions: Vec<Box<dyn Definition>>,
    ban: Option<BanNumbers>,
    banned: Banned,
}

/// What a decision must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub outcome: Outcome,
    pub quotas: Vec<QuotaState>,
    /// When each quota would admit the same request (once more, if it has); `None`: never. If any
    /// never does, the waits of the others do not matter and are zero.
    pub waits: Vec<Option<Duration>>,
}

impl Expected {
    /// The answer to a subject that is blocked: nothing is said of quotas.
    pub fn blocked() -> Self {
        Self { outcome: Outcome::Blocked, quotas: Vec::new(), waits: Vec::new() }
    }

    /// The same of a subject that is forgotten at an instant, if that is to come.
    pub(super) fn forgotten_at(mut self, instant: Option<u64>, now: u64) -> Self {
        let Some(left) = instant.and_then(|instant| instant.checked_sub(now)) else { return self };
        if left == 0 {
            return self;
        }
        let span = Duration::from_micros(left);
        if let Outcome::Refused { retry_after } = &mut self.outcome {
            *retry_after = span.min(*retry_after);
        }
        for state in &mut self.quotas {
            let (more, reset) = (state.more_after().min(span), state.reset_after().min(span));
            *state = QuotaState::new(state.is_exceeded(), state.remaining(), more, reset);
        }
        let waits = self.waits.iter().map(|wait| wait.map(|wait| wait.min(span)));
        self.waits = waits.collect();
        self
    }

    /// The same without the waits of the quotas.
    pub fn without_waits(mut self) -> Self {
        self.waits.clear();
        self
    }
}

impl Reference {
    pub fn new(algorithm: Algorithm, numbers: &[Numbers]) -> Self {
        let definitions = numbers.iter().map(|numbers| define(algorithm, *numbers)).collect();
        Self::of(algorithm, numbers, definitions)
    }

    /// Fixed windows, each with the windows of an almanac, or of a length.
    pub fn of_calendars(quotas: &[CalendarNumbers]) -> Self {
        let numbers: Vec<Numbers> = quotas.iter().map(CalendarNumbers::numbers).collect();
        let definitions = quotas.iter().map(|quota| quota.define()).collect();
        Self::of(Algorithm::FixedWindow, &numbers, definitions)
    }

    /// Quotas by definitions that know already what was charged.
    fn of(
        algorithm: Algorithm,
        numbers: &[Numbers],
        definitions: Vec<Box<dyn Definition>>,
    ) -> Self {
        let (ban, banned) = (None, Banned::default());
        Self { algorithm, numbers: numbers.to_vec(), definitions, ban, banned }
    }

    /// Bans by these numbers.
    pub fn with_ban(self, ban: Option<BanNumbers>) -> Self {
        Self { ban, ..self }
    }

    /// Charges `cost`, if all quotas admit it. A refusal counts for a ban.
    pub fn charge(&mut self, now: u64, cost: u32) -> Expected {
        if self.banned.outcome(now).is_some() {
            return self.peek(now, cost);
        }
        let expected = self.charge_quotas(now, cost);
        self.banned.count(self.ban, &self.numbers, now, expected)
    }

    fn charge_quotas(&mut self, now: u64, cost: u32) -> Expected {
        let (outcome, exceeded) = self.decide(now, cost);
        if outcome == Outcome::Allowed && cost > 0 {
            for definition in &mut self.definitions {
                definition.charge(now, cost.into());
            }
        }
        self.expected(now, cost, outcome, &exceeded)
    }

    pub fn peek(&self, now: u64, cost: u32) -> Expected {
        let (outcome, exceeded) = self.decide(now, cost);
        let outcome = self.banned.outcome(now).unwrap_or(outcome);
        self.expected(now, cost, outcome, &exceeded)
    }

    /// The outcome alone, which is found sooner than the state.
    pub fn outcome(&self, now: u64, cost: u32) -> Outcome {
        self.decide(now, cost).0
    }

    /// Charges a cost that is admitted, here or by another form, without a word about it.
    pub fn take(&mut self, now: u64, cost: u32) {
        for definition in &mut self.definitions {
            definition.charge(now, cost.into());
        }
    }

    /// Whether all quotas admit `cost`.
    pub fn admits(&self, now: u64, cost: u32) -> bool {
        self.each().all(|quota| quota.admits(now, cost.into()))
    }

    /// Whether anything was given back, in any of the quotas.
    pub fn refund(&mut self, now: u64, stamp: u64, cost: u32) -> bool {
        self.give_back(now, stamp, cost, cost)
    }

    /// Gives back as many of the `cost` units that were charged at `stamp`.
    fn give_back(&mut self, now: u64, stamp: u64, cost: u32, back: u32) -> bool {
        if back == 0 {
            return false;
        }
        let quotas = self.definitions.iter_mut();
        let given = quotas.map(|quota| quota.give_back(now, stamp, cost.into(), back.into()));
        given.fold(false, |any, given| any | given)
    }

    /// Charges units that were admitted to nobody.
    fn owe(&mut self, now: u64, units: u32) {
        self.definitions.iter_mut().for_each(|quota| quota.owe(now, units.into()));
    }

    /// Replaces a charge of `cost` units at `stamp` by what it came to.
    pub fn settle(&mut self, now: u64, stamp: u64, cost: u32, actual: u32) -> Settled {
        match actual.checked_sub(cost) {
            Some(0) => Settled::Unchanged,
            Some(debt) => {
                self.owe(now, debt);
                Settled::Charged
            }
            None if self.give_back(now, stamp, cost, cost - actual) => Settled::Refunded,
            None => Settled::Nothing,
        }
    }

    /// The record of the subject's refusals.
    pub fn banned(&mut self) -> &mut Banned {
        &mut self.banned
    }

    /// Judges what was charged by other limits from now on; the periods stay.
    pub fn relimit(&mut self, numbers: &[Numbers]) {
        for ((definition, own), numbers) in
            self.definitions.iter_mut().zip(&self.numbers).zip(numbers)
        {
            assert_eq!(own.period, numbers.period);
            if own != numbers {
                definition.relimit(numbers.limit);
            }
        }
        self.numbers = numbers.to_vec();
    }

    pub fn reset(&mut self) {
        *self = Self::new(self.algorithm, &self.numbers).with_ban(self.ban);
    }

    /// The outcome, and which of the quotas do not admit `cost`.
    fn decide(&self, now: u64, cost: u32) -> (Outcome, Vec<bool>) {
        let cost = u64::from(cost);
        let waits: Vec<Wait> = self.each().map(|quota| quota.wait(now, cost)).collect();
        let exceeded = waits.iter().map(|wait| *wait != Wait::None).collect();
        let outcome = match waits.into_iter().max() {
            Some(Wait::For(micros)) => {
                Outcome::Refused { retry_after: Duration::from_micros(micros) }
            }
            Some(Wait::Never) => Outcome::Never,
            Some(Wait::None) | None => Outcome::Allowed,
        };
        (outcome, exceeded)
    }

    fn expected(&self, now: u64, cost: u32, outcome: Outcome, exceeded: &[bool]) -> Expected {
        let quotas = self.each().zip(exceeded).map(|(quota, exceeded)| quota.state(now, *exceeded));
        let waits: Vec<Wait> = self.each().map(|quota| quota.wait(now, cost.into())).collect();
        let never = waits.contains(&Wait::Never);
        let waits = waits.into_iter().map(|wait| match wait {
            Wait::None => Some(Duration::ZERO),
            Wait::For(_) if never => Some(Duration::ZERO),
            Wait::For(micros) => Some(Duration::from_micros(micros)),
            Wait::Never => None,
        });
        Expected { outcome, quotas: quotas.collect(), waits: waits.collect() }
    }

    fn each(&self) -> impl Iterator<Item = One<'_>> {
        let pairs = self.numbers.iter().zip(&self.definitions);
        pairs.map(|(numbers, definition)| One {
            capacity: numbers.capacity(),
            definition: &**definition,
        })
    }
}

fn define(algorithm: Algorithm, numbers: Numbers) -> Box<dyn Definition> {
    match algorithm {
        Algorithm::SlidingWindow => sliding_window::define(numbers),
        Algorithm::SlidingWindowCounter => sliding_window_counter::define(numbers),
        Algorithm::FixedWindow => fixed_window::define(numbers),
        Algorithm::TokenBucket => token_bucket::define(numbers),
        Algorithm::LeakyBucket => leaky_bucket::define(numbers),
        Algorithm::Gcra => gcra::define(numbers),
        other => panic!("{other:?} has no definition here"),
    }
}

/// How long a request must wait for a quota. The longest wait counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wait {
    None,
    For(u64),
    Never,
}

/// A quota, and all that can be asked of it.
struct One<'a> {
    capacity: u64,
    definition: &'a dyn Definition,
}

impl One<'_> {
    fn admits(&self, now: u64, units: u64) -> bool {
        units == 0 || (units <= self.capacity && self.definition.admits(now, units))
    }

    fn wait(&self, now: u64, units: u64) -> Wait {
        if self.admits(now, units) {
            Wait::None
        } else if units > self.capacity {
            Wait::Never
        } else {
            Wait::For(self.span_until(now, units))
        }
    }

    /// The least span after which `units` are admitted.
    fn span_until(&self, now: u64, units: u64) -> u64 {
        least(FOREVER, |span| self.admits(now + span, units))
    }

    fn state(&self, now: u64, exceeded: bool) -> QuotaState {
        let remaining =
            self.capacity - least(self.capacity, |used| self.admits(now, self.capacity - used));
        let more = (remaining + 1).min(self.capacity);
        let span = |units| Duration::from_micros(self.span_until(now, units));
        let remaining = u32::try_from(remaining).unwrap();
        QuotaState::new(exceeded, remaining, span(more), span(self.capacity))
    }
}

/// The least number up to `most` that `holds`; whatever holds for one holds for all above it.
fn least(most: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, most);
    assert!(holds(high), "it does not even hold for {most}");
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    high
}
