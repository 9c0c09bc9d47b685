//! Every answer is the naive model's, in random traces over policies with several quotas, of calendars
//! and of periods with a length: outcome, wait, what remains, when all is back, and whether a refund or
//! a settlement had an effect.

use proptest::prelude::*;
use tollgate::{Algorithm, Decision, Outcome, Policy};

use crate::almanac::{Almanac, almanacs, instants};
use crate::reference::{CalendarNumbers, DAY, Numbers, Reference, said};
use crate::subject::Store;

#[derive(Clone, Copy, Debug)]
enum Step {
    Charge(u32),
    Peek(u32),
    /// Gives back the charge so many charges ago.
    Refund(usize),
    /// Settles it at so many thousandths of its cost.
    Settle(usize, u32),
    /// Settles it at so many units more.
    Owe(usize, u32),
    Pass(u64),
    /// To the next bound of the calendar of a quota, and so many microseconds beside it.
    Bound(usize, i64),
    /// To the instant that was told by the last refusal.
    Retry(i64),
}

fn quota() -> impl Strategy<Value = CalendarNumbers> {
    let plain = (1_u32..=9, prop::sample::select(vec![DAY / 24, DAY, 7 * DAY, 31 * DAY]));
    prop_oneof![
        4 => (1_u32..=9, almanacs()).prop_map(|(limit, almanac)| CalendarNumbers::Of(limit, almanac)),
        1 => plain.prop_map(|(limit, period)| CalendarNumbers::Plain(Numbers::new(limit, period))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let ago = || 0_usize..4;
    prop_oneof![
        12 => (0_u32..=4).prop_map(Step::Charge),
        2 => (0_u32..=10).prop_map(Step::Peek),
        3 => ago().prop_map(Step::Refund),
        1 => (ago(), 0_u32..=1_000).prop_map(|(ago, share)| Step::Settle(ago, share)),
        2 => (ago(), prop_oneof![4 => 0_u32..=40, 1 => Just(u32::MAX)])
            .prop_map(|(ago, more)| Step::Owe(ago, more)),
        2 => (0_u64..=3).prop_map(Step::Pass),
        2 => (0_u64..=3 * DAY).prop_map(Step::Pass),
        1 => (0_u64..=400 * DAY).prop_map(Step::Pass),
        5 => (0_usize..3, -1_i64..=1).prop_map(|(quota, beside)| Step::Bound(quota, beside)),
        3 => (-1_i64..=0).prop_map(Step::Retry),
    ]
}

/// Plays traces, each with a subject that nobody has used.
pub fn decides_as_the_model<S: Store>(cases: ProptestConfig, subject: impl Fn() -> (S, String)) {
    proptest!(cases, |(
        quotas in prop::collection::vec(quota(), 1..=3),
        start in instants(),
        steps in prop::collection::vec(step(), 1..=50),
    )| {
        let policy = Policy::new("p", quotas[0].quota()).algorithm(Algorithm::FixedWindow);
        let policy = quotas[1..].iter().fold(policy, |policy, quota| policy.and(quota.quota()));
        let almanac = |quota: usize| match quotas[quota % quotas.len()] {
            CalendarNumbers::Of(_, almanac) => almanac,
            CalendarNumbers::Plain(_) => Almanac { unit: tollgate::Calendar::Day, zone: "UTC" },
        };
        let mut reference = Reference::of_calendars(&quotas);
        let (store, subject) = subject();
        let limiter = store.limiter();
        let (mut now, mut retry_at) = (start, start);
        let mut charges: Vec<(u64, u32, Decision)> = Vec::new();
        // The almanac ends at some time, and a debt of ten years should end before.
        let last = start + 10 * 366 * DAY;
        for step in steps {
            store.clock().set_micros(now);
            let taken = |charges: &mut Vec<(u64, u32, Decision)>, ago: usize| {
                let index = charges.len().checked_sub(ago + 1)?;
                Some(charges.remove(index))
            };
            match step {
                Step::Charge(cost) => {
                    let decision = store.check(&policy, &subject, cost);
                    prop_assert_eq!(said(&decision), reference.charge(now, cost), "{} at {}", cost, now);
                    match decision.outcome() {
                        Outcome::Allowed if cost > 0 => charges.push((now, cost, decision)),
                        Outcome::Refused { retry_after } => {
                            retry_at = now + u64::try_from(retry_after.as_micros()).unwrap();
                        }
                        _ => {}
                    }
                }
                Step::Peek(cost) => {
                    let decision = store.wait(limiter.peek(&policy, &subject, cost)).unwrap();
                    prop_assert_eq!(said(&decision), reference.peek(now, cost), "{} at {}", cost, now);
                }
                Step::Refund(ago) => {
                    let Some((at, cost, decision)) = taken(&mut charges, ago) else { continue };
                    let refunded = store.wait(limiter.refund(decision)).unwrap();
                    prop_assert_eq!(refunded, reference.refund(now, at, cost), "of {} at {}", at, now);
                }
                Step::Settle(ago, _) | Step::Owe(ago, _) => {
                    let Some((at, cost, decision)) = taken(&mut charges, ago) else { continue };
                    let actual = match step {
                        Step::Settle(_, share) => cost * share / 1_000,
                        Step::Owe(_, more) => cost.saturating_add(more),
                        _ => unreachable!(),
                    };
                    let settled = store.wait(limiter.settle(decision, actual)).unwrap();
                    prop_assert_eq!(settled, reference.settle(now, at, cost, actual), "at {}", now);
                }
                Step::Pass(micros) => now = (now + micros).min(last),
                Step::Bound(quota, beside) => {
                    let (_, end) = almanac(quota).window(now);
                    now = end.saturating_add_signed(beside).max(now).min(last);
                }
                Step::Retry(beside) => {
                    now = retry_at.saturating_add_signed(beside).max(now).min(last);
                }
            }
        }
    });
}
