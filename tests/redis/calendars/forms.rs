//! A policy changes between calendars, and between them and periods with a length, while it is in use:
//! Redis answers as memory does, also to refunds, settlements and bans, and wherever the clock goes.

use proptest::prelude::*;
use tollgate::{Algorithm, Calendar};

use support::almanac::{Almanac, instants};
use support::calendar_forms::{
    CalendarForm, CalendarForms, CalendarStep, calendar_forms, calendar_steps, jumping_steps,
    window_forms,
};
use support::forms::FormStep;
use support::reference::{Actual, BanNumbers, CalendarNumbers, DAY, Numbers, bans, cases};
use support::subject::Memory;

use crate::timed::Timed;

/// Plays the steps in memory and on Redis.
fn same(
    timed: &Timed,
    (forms, bans, start): (&[CalendarForm], &[Option<BanNumbers>], u64),
    steps: &[CalendarStep],
) -> Result<(), TestCaseError> {
    let mut on_redis = CalendarForms::new((timed, timed.subject()), start, forms, bans);
    let memory = (Memory::small(), "s".to_owned());
    let mut in_memory = CalendarForms::new(memory, start, forms, bans);
    for (index, step) in steps.iter().enumerate() {
        let at = on_redis.now();
        let (answer, in_memory) = (on_redis.step(*step), in_memory.step(*step));
        prop_assert_eq!(answer, in_memory, "redis, memory at step {}: {:?} at {}", index, step, at);
    }
    Ok(())
}

#[test]
fn changes_are_as_in_memory() {
    let timed = Timed::start();
    proptest!(cases(200, 10_000), |(
        forms in calendar_forms(),
        bans in prop::collection::vec(bans(), 4),
        start in instants(),
        steps in calendar_steps(40),
    )| {
        same(&timed, (&forms, &bans, start), &steps)?;
    });
}

#[test]
fn clocks_that_jump_are_as_in_memory() {
    let timed = Timed::start();
    proptest!(cases(200, 10_000), |(
        forms in window_forms(),
        start in instants(),
        steps in jumping_steps(40),
    )| {
        same(&timed, (&forms, &[], start), &steps)?;
    });
}

/// An instant for which there is an almanac.
const START: u64 = 1_750_000_000_000_000;

fn day(limit: u32) -> CalendarForm {
    let almanac = Almanac { unit: Calendar::Day, zone: "UTC" };
    (Algorithm::FixedWindow, vec![CalendarNumbers::Of(limit, almanac)])
}

/// A debt is worked off by the limit that was in force, whatever the limit is then.
#[test]
fn a_debt_that_is_worked_off_is_gone_under_any_limit() {
    let timed = Timed::start();
    let charge = |form, cost| CalendarStep::Of(FormStep::Charge(form, cost));
    let owe = CalendarStep::Of(FormStep::Settle(0, Actual::More(12)));
    for bounds in 1..6 {
        let bounds = vec![CalendarStep::Bound(0, 0); bounds];
        let steps = [vec![charge(0, 1), owe], bounds, vec![charge(1, 1), charge(0, 5)]].concat();
        same(&timed, (&[day(5), day(1)], &[], START), &steps).unwrap();
    }
}

/// A part is set aside until its debt ends, to the microsecond, also if the debt becomes larger then.
#[test]
fn a_debt_is_set_aside_until_it_ends() {
    let timed = Timed::start();
    let log = Numbers::new(50, 366 * DAY);
    let forms = [day(1), (Algorithm::SlidingWindow, vec![CalendarNumbers::Plain(log)])];
    let charge = |form| CalendarStep::Of(FormStep::Charge(form, 1));
    let owe = |more| CalendarStep::Of(FormStep::Settle(0, Actual::More(more)));
    for bounds in 1..6 {
        let before = vec![charge(0), owe(2), charge(1), owe(10)];
        let after = vec![charge(1), CalendarStep::Of(FormStep::Peek(0, 1)), charge(0)];
        let steps = [before, vec![CalendarStep::Bound(0, 0); bounds], after].concat();
        same(&timed, (&forms, &[], START), &steps).unwrap();
    }
}

/// A charge under another form is refunded by a window of a calendar for as long as a window can be.
#[test]
fn a_change_is_remembered_for_the_longest_window() {
    let timed = Timed::start();
    let charge = |form, cost| CalendarStep::Of(FormStep::Charge(form, cost));
    let refund = |charge| CalendarStep::Of(FormStep::Refund(charge));
    let of = |limit, unit| CalendarNumbers::Of(limit, Almanac { unit, zone: "UTC" });
    let windows = vec![of(2, Calendar::Day), of(4, Calendar::Month)];
    for algorithm in Algorithm::ALL {
        let other = (*algorithm, vec![CalendarNumbers::Plain(Numbers::new(1, DAY / 24))]);
        let forms = [(Algorithm::FixedWindow, windows.clone()), other];
        for quarters in 90..=200 {
            let steps = [
                charge(0, 2),
                CalendarStep::Pass(DAY),
                charge(1, 1),
                charge(0, 1),
                CalendarStep::Pass(quarters * DAY / 96),
                refund(0),
                charge(0, 1),
                refund(1),
            ];
            same(&timed, (&forms, &[], 1_546_356_420_000_000), &steps).unwrap();
        }
    }
}

/// A bucket takes over a window whose last charge is ahead of a clock that was set back.
#[test]
fn a_bucket_after_a_window_knows_no_more_than_when_it_opened() {
    let timed = Timed::start();
    let charge = |form, cost| CalendarStep::Of(FormStep::Charge(form, cost));
    for &algorithm in Algorithm::ALL {
        for period in [DAY / 24, DAY, 7 * DAY] {
            let other = (algorithm, vec![CalendarNumbers::Plain(Numbers::new(2, period))]);
            let steps = [
                charge(0, 1),
                CalendarStep::Bound(0, -1),
                charge(0, 1),
                CalendarStep::Jump(-1),
                charge(1, 1),
                CalendarStep::Bound(0, 0),
                charge(1, 1),
                CalendarStep::Pass(DAY / 3),
                charge(1, 1),
            ];
            for first in [day(3), (Algorithm::SlidingWindowCounter, vec![plain_day(3)])] {
                same(&timed, (&[first, other.clone()], &[], 1_546_300_800_000_000), &steps)
                    .unwrap();
            }
        }
    }
}

fn plain_day(limit: u32) -> CalendarNumbers {
    CalendarNumbers::Plain(Numbers::new(limit, DAY))
}
