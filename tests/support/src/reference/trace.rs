//! Traces: what to do and when, relative to what has been decided before; and the events that
//! the reference makes of them, with what must be answered to each.

use std::time::Duration;

use proptest::prelude::*;
use tollgate::{Algorithm, Outcome, Settled};

use super::{BanNumbers, DAY, Expected, Numbers, Reference, TEN_YEARS, spans};

/// Where traces begin: an instant without regard to any window or granule.
pub const START: u64 = 1_767_268_812_345_679;

/// What to do next.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Charge(Cost),
    Peek(Cost),
    /// Comes again with what was refused last, so many microseconds after the instant it was
    /// told.
    Again(i64),
    /// Gives back the charge so many charges ago.
    Refund(usize),
    /// Does the same because the request has succeeded, so that refusals and bans are forgotten.
    Forgive(usize),
    /// Settles the charge so many charges ago.
    Settle(usize, Actual),
    /// Bans for so many microseconds.
    Ban(u64),
    Unban,
    /// Asks while the policy blocks the subject.
    Blocked(Cost),
    Reset,
    Pass(Move),
}

/// The units that a charge comes to.
#[derive(Clone, Copy, Debug)]
pub enum Actual {
    /// Thousandths of its cost.
    Share(u64),
    /// This much more than its cost.
    More(u32),
    /// Thousandths of what a quota holds more than its cost.
    Beyond(usize, u64),
    Units(u32),
}

impl Actual {
    pub fn of(self, cost: u32, numbers: &[Numbers]) -> u32 {
        let cost = u128::from(cost);
        let units = match self {
            Self::Share(share) => cost * u128::from(share) / 1_000,
            Self::More(more) => cost + u128::from(more),
            Self::Beyond(quota, share) => {
                let capacity = numbers[quota % numbers.len()].capacity();
                cost + u128::from(capacity) * u128::from(share) / 1_000
            }
            Self::Units(units) => units.into(),
        };
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

/// How much to ask for.
#[derive(Clone, Copy, Debug)]
pub enum Cost {
    Units(u32),
    /// Thousandths of what a quota of the policy holds.
    Share(usize, u64),
    /// This much more than remains.
    Remaining(i64),
    /// This much more than the smallest quota holds.
    Capacity(i64),
}

/// How time passes. Numbers beside an instant are microseconds after it; the first number of
/// the others is the quota meant.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    Micros(u64),
    /// Thousandths of a period.
    Share(usize, u64),
    /// To the instant that the last refusal named.
    Retry(i64),
    /// To the instant at which more remains.
    More(usize, i64),
    /// To the instant at which all is back.
    Whole(usize, i64),
    /// To the next multiple of the period, where aligned windows meet.
    Edge(usize, i64),
    /// To the next multiple of period ÷ 1024, where granules meet.
    Granule(usize, i64),
    /// To the end of the last ban, of the window of refusals, or of the memory of bans.
    Banned(usize, i64),
}

/// Something that happens at an instant, and what must come of it.
#[derive(Clone, Debug)]
pub struct Event {
    pub at: u64,
    pub action: Action,
    pub answer: Answer,
}

#[derive(Clone, Copy, Debug)]
pub enum Action {
    Charge(u32),
    Peek(u32),
    /// Gives back what was charged by the event of this index; no two name the same.
    Refund(usize),
    Forgive(usize),
    /// Settles what was charged by the event of this index; no two name the same.
    Settle(usize, u32),
    Ban(u64),
    Unban,
    Blocked(u32),
    Reset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Decision(Expected),
    Refunded(bool),
    Settled(Settled),
    Banned,
    Unbanned(bool),
    Reset,
}

/// Any number of steps up to `most`.
pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..=most)
}

/// The same with settlements and bans among them.
pub fn settled_steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let ago = || 0_usize..6;
    // More than one unit, so that a part of it can be given back.
    let more = prop_oneof![
        2 => (2_u32..=12).prop_map(Cost::Units),
        1 => (0_usize..4, 0_u64..=1_000).prop_map(|(quota, share)| Cost::Share(quota, share)),
        1 => Just(Cost::Remaining(0)),
    ];
    let step = prop_oneof![
        20 => step(),
        5 => more.prop_map(Step::Charge),
        4 => actual().prop_map(|actual| Step::Settle(0, actual)),
        3 => (ago(), actual()).prop_map(|(ago, actual)| Step::Settle(ago, actual)),
        4 => (-1_i64..=0).prop_map(Step::Again),
        1 => ago().prop_map(Step::Forgive),
        1 => spans().prop_map(Step::Ban),
        1 => Just(Step::Unban),
        1 => cost().prop_map(Step::Blocked),
        2 => (0_usize..3, -1_i64..=1).prop_map(|(end, micros)| Step::Pass(Move::Banned(end, micros))),
        1 => (0_u64..=2 * TEN_YEARS).prop_map(|micros| Step::Pass(Move::Micros(micros))),
    ];
    prop::collection::vec(step, 1..=most)
}

/// More and less, and sometimes beyond all bounds.
pub fn actual() -> impl Strategy<Value = Actual> {
    prop_oneof![
        4 => (0_u64..1_000).prop_map(Actual::Share),
        4 => (0_u32..=4).prop_map(Actual::More),
        4 => (0_usize..4, 0_u64..=1_200).prop_map(|(quota, share)| Actual::Beyond(quota, share)),
        1 => (0_usize..4, 0_u64..=100_000).prop_map(|(quota, share)| Actual::Beyond(quota, share)),
        1 => prop_oneof![Just(0_u32), Just(u32::MAX), any::<u32>()].prop_map(Actual::Units),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => cost().prop_map(Step::Charge),
        2 => cost().prop_map(Step::Peek),
        2 => (0_usize..6).prop_map(Step::Refund),
        8 => pass().prop_map(Step::Pass),
        3 => (-1_i64..=0).prop_map(Step::Again),
        1 => prop_oneof![2 => Just(Step::Peek(Cost::Units(1))), 1 => Just(Step::Reset)],
    ]
}

fn cost() -> impl Strategy<Value = Cost> {
    prop_oneof![
        6 => Just(Cost::Units(1)),
        3 => (0_u32..=8).prop_map(Cost::Units),
        3 => (0_usize..4, 0_u64..=1_000).prop_map(|(quota, share)| Cost::Share(quota, share)),
        4 => (-1_i64..=1).prop_map(Cost::Remaining),
        1 => (-1_i64..=1).prop_map(Cost::Capacity),
        1 => prop_oneof![2 => Just(0), 1 => Just(u32::MAX)].prop_map(Cost::Units),
    ]
}

fn pass() -> impl Strategy<Value = Move> {
    let quota = || 0_usize..4;
    let beside = || -1_i64..=1;
    prop_oneof![
        2 => (1_u64..=3).prop_map(Move::Micros),
        4 => (quota(), 0_u64..=700).prop_map(|(quota, share)| Move::Share(quota, share)),
        4 => beside().prop_map(Move::Retry),
        3 => (quota(), beside()).prop_map(|(quota, micros)| Move::More(quota, micros)),
        2 => (quota(), beside()).prop_map(|(quota, micros)| Move::Whole(quota, micros)),
        3 => (quota(), -2_i64..=2).prop_map(|(quota, micros)| Move::Edge(quota, micros)),
        2 => (quota(), beside()).prop_map(|(quota, micros)| Move::Granule(quota, micros)),
        1 => (quota(), 1_000_u64..=5_000).prop_map(|(quota, share)| Move::Share(quota, share)),
        1 => (0_u64..=800 * DAY).prop_map(Move::Micros),
    ]
}

/// Lets the reference play `steps`.
pub fn play(algorithm: Algorithm, numbers: &[Numbers], steps: &[Step]) -> Vec<Event> {
    play_with_ban(algorithm, numbers, None, steps)
}

/// Lets the reference play `steps` under a policy with this ban.
pub fn play_with_ban(
    algorithm: Algorithm,
    numbers: &[Numbers],
    ban: Option<BanNumbers>,
    steps: &[Step],
) -> Vec<Event> {
    let reference = Reference::new(algorithm, numbers).with_ban(ban);
    let mut player = Player {
        numbers,
        reference,
        now: START,
        retry_at: START,
        refused: 1,
        charges: Vec::new(),
        events: Vec::new(),
    };
    for step in steps {
        player.step(*step);
    }
    player.events
}

struct Player<'a> {
    numbers: &'a [Numbers],
    reference: Reference,
    now: u64,
    retry_at: u64,
    /// What was refused until then.
    refused: u32,
    /// The charges that nobody has given back: the event, when and how much.
    charges: Vec<(usize, u64, u32)>,
    events: Vec<Event>,
}

impl Player<'_> {
    fn step(&mut self, step: Step) {
        match step {
            Step::Charge(cost) => self.charge(self.cost(cost)),
            Step::Peek(cost) => {
                let cost = self.cost(cost);
                let expected = self.reference.peek(self.now, cost);
                self.happens(Action::Peek(cost), Answer::Decision(expected));
            }
            Step::Again(beside) => {
                self.now = self.retry_at.saturating_add_signed(beside).max(self.now);
                self.charge(self.refused);
            }
            Step::Refund(back) => {
                let Some((event, stamp, cost)) = self.take(back) else { return };
                let refunded = self.reference.refund(self.now, stamp, cost);
                self.happens(Action::Refund(event), Answer::Refunded(refunded));
            }
            Step::Forgive(back) => {
                let Some((event, stamp, cost)) = self.take(back) else { return };
                self.reference.banned().forgive();
                let refunded = self.reference.refund(self.now, stamp, cost);
                self.happens(Action::Forgive(event), Answer::Refunded(refunded));
            }
            Step::Settle(back, actual) => {
                let Some((event, stamp, cost)) = self.take(back) else { return };
                let actual = actual.of(cost, self.numbers);
                let settled = self.reference.settle(self.now, stamp, cost, actual);
                self.happens(Action::Settle(event, actual), Answer::Settled(settled));
            }
            Step::Ban(span) => {
                self.reference.banned().ban(self.now, span);
                self.happens(Action::Ban(span), Answer::Banned);
            }
            Step::Unban => {
                let was_banned = self.reference.banned().unban(self.now);
                self.happens(Action::Unban, Answer::Unbanned(was_banned));
            }
            Step::Blocked(cost) => {
                let action = Action::Blocked(self.cost(cost));
                self.happens(action, Answer::Decision(Expected::blocked()));
            }
            Step::Reset => {
                self.reference.reset();
                self.happens(Action::Reset, Answer::Reset);
                // So that no charge from before has the stamp of one that comes after.
                self.now += 1;
            }
            Step::Pass(by) => self.now = self.instant(by).max(self.now),
        }
    }

    fn charge(&mut self, cost: u32) {
        let expected = self.reference.charge(self.now, cost);
        match expected.outcome {
            Outcome::Allowed => self.charges.push((self.events.len(), self.now, cost)),
            Outcome::Refused { retry_after } | Outcome::Banned { retry_after } => {
                self.retry_at = self.now + micros(retry_after);
                self.refused = cost;
            }
            Outcome::Never => {}
            other => unreachable!("{other:?}"),
        }
        self.happens(Action::Charge(cost), Answer::Decision(expected));
    }

    /// The charge so many charges ago, which nobody gives back or settles again.
    fn take(&mut self, back: usize) -> Option<(usize, u64, u32)> {
        let index = self.charges.len().checked_sub(back + 1)?;
        Some(self.charges.remove(index))
    }

    fn happens(&mut self, action: Action, answer: Answer) {
        self.events.push(Event { at: self.now, action, answer });
    }

    fn cost(&self, cost: Cost) -> u32 {
        let units = match cost {
            Cost::Units(units) => units.into(),
            Cost::Share(quota, share) => {
                i128::from(self.numbers(quota).capacity()) * i128::from(share) / 1_000
            }
            Cost::Remaining(more) => {
                let quotas = self.reference.peek(self.now, 0).quotas;
                let remaining = quotas.iter().map(|quota| quota.remaining()).min().unwrap();
                i128::from(remaining) + i128::from(more)
            }
            Cost::Capacity(more) => {
                let capacity = self.numbers.iter().map(Numbers::capacity).min().unwrap();
                i128::from(capacity) + i128::from(more)
            }
        };
        u32::try_from(units.clamp(0, u32::MAX.into())).unwrap()
    }

    fn instant(&mut self, by: Move) -> u64 {
        let banned = *self.reference.banned();
        let state = |quota| self.reference.peek(self.now, 0).quotas[quota % self.numbers.len()];
        let multiple = |of: u64| (self.now / of + 1) * of;
        let (instant, beside) = match by {
            Move::Micros(micros) => (self.now + micros, 0),
            Move::Share(quota, share) => {
                let period = u128::from(self.numbers(quota).period);
                (self.now + u64::try_from(period * u128::from(share) / 1_000).unwrap(), 0)
            }
            Move::Retry(beside) => (self.retry_at, beside),
            Move::More(quota, beside) => (self.now + micros(state(quota).more_after()), beside),
            Move::Whole(quota, beside) => (self.now + micros(state(quota).reset_after()), beside),
            Move::Edge(quota, beside) => (multiple(self.numbers(quota).period), beside),
            Move::Granule(quota, beside) => {
                (multiple(self.numbers(quota).period.div_ceil(1_024)), beside)
            }
            Move::Banned(end, beside) => {
                let ends = [banned.until, banned.counted_until, banned.forgotten_at];
                (ends[end % ends.len()], beside)
            }
        };
        instant.saturating_add_signed(beside)
    }

    fn numbers(&self, quota: usize) -> &Numbers {
        &self.numbers[quota % self.numbers.len()]
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap()
}
