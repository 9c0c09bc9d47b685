//! One policy in several forms, some of which have quotas of calendars, in turns, with refunds,
//! settlements and bans, while the clock passes bounds of the calendars.

use proptest::prelude::*;
use tollgate::{Algorithm, Policy};

use crate::almanac::{Almanac, almanacs};
use crate::forms::{FormAnswer, FormStep, Forms, settled_form_steps};
use crate::reference::{BanNumbers, CalendarNumbers, DAY, Numbers};
use crate::subject::Store;

/// An algorithm with quotas; with a calendar it is the fixed window.
pub type CalendarForm = (Algorithm, Vec<CalendarNumbers>);

#[derive(Clone, Copy, Debug)]
pub enum CalendarStep {
    Of(FormStep),
    /// To the next bound of the calendar of a form, and so many microseconds beside it, if that is not
    /// earlier than now.
    Bound(usize, i64),
    Pass(u64),
    /// The clock goes so far, also back.
    Jump(i64),
}

fn plain() -> impl Strategy<Value = Numbers> {
    let longest = Almanac { unit: tollgate::Calendar::Month, zone: "UTC" }.longest();
    let period = prop::sample::select(vec![DAY / 24, DAY, 7 * DAY, longest, 366 * DAY]);
    (1_u32..=12, period).prop_map(|(limit, period)| Numbers::new(limit, period))
}

fn quota() -> impl Strategy<Value = CalendarNumbers> {
    prop_oneof![
        3 => (1_u32..=12, almanacs()).prop_map(|(limit, almanac)| CalendarNumbers::Of(limit, almanac)),
        1 => plain().prop_map(CalendarNumbers::Plain),
    ]
}

/// Forms of the fixed window alone.
pub fn window_forms() -> impl Strategy<Value = Vec<CalendarForm>> {
    prop::collection::vec(windows(), 2..=4)
}

fn windows() -> impl Strategy<Value = CalendarForm> {
    prop::collection::vec(quota(), 1..=3).prop_map(|all| (Algorithm::FixedWindow, all))
}

pub fn calendar_forms() -> impl Strategy<Value = Vec<CalendarForm>> {
    let others = (
        prop::sample::select(Algorithm::ALL.to_vec()),
        prop::collection::vec(plain().prop_map(CalendarNumbers::Plain), 1..=2),
    );
    prop::collection::vec(prop_oneof![3 => windows(), 1 => others], 2..=4)
}

pub fn calendar_steps(most: usize) -> impl Strategy<Value = Vec<CalendarStep>> {
    let steps = settled_form_steps(most).prop_flat_map(|steps| {
        let between = prop_oneof![
            3 => Just(None),
            1 => (0_usize..4, -2_i64..=2).prop_map(|(form, by)| Some(CalendarStep::Bound(form, by))),
            1 => (0_u64..=3 * DAY).prop_map(|span| Some(CalendarStep::Pass(span))),
        ];
        let count = steps.len();
        (Just(steps), prop::collection::vec(between, count))
    });
    steps.prop_map(|(steps, between)| {
        let pairs = steps.into_iter().zip(between);
        pairs
            .flat_map(|(step, between)| [Some(CalendarStep::Of(step)), between])
            .flatten()
            .collect()
    })
}

/// Charges of one unit, on a clock that also goes back. What else there is does not do the same
/// everywhere then: memory forgets at a look what has expired, and Redis only at the next charge.
pub fn jumping_steps(most: usize) -> impl Strategy<Value = Vec<CalendarStep>> {
    let span = || {
        prop_oneof![
            2 => 0_i64..=5,
            2 => 99_990_i64..=100_010,
            1 => 0_i64..=(3 * DAY).cast_signed(),
            1 => 0_i64..=(500 * DAY).cast_signed(),
        ]
    };
    let step = prop_oneof![
        6 => (0_usize..4).prop_map(|form| CalendarStep::Of(FormStep::Charge(form, 1))),
        2 => (0_usize..4, -2_i64..=2).prop_map(|(form, by)| CalendarStep::Bound(form, by)),
        1 => span().prop_map(CalendarStep::Jump),
        2 => span().prop_map(|span| CalendarStep::Jump(-span)),
    ];
    prop::collection::vec(step, 1..most)
}

/// A store, and what it answers to one subject.
pub struct CalendarForms<S> {
    forms: Forms<S>,
    almanacs: Vec<Almanac>,
    start: u64,
}

impl<S: Store> CalendarForms<S> {
    pub fn new(
        subject: (S, String),
        start: u64,
        forms: &[CalendarForm],
        bans: &[Option<BanNumbers>],
    ) -> Self {
        let policies = forms.iter().map(|(algorithm, quotas)| {
            let policy = Policy::new("policy", quotas[0].quota()).algorithm(*algorithm);
            quotas[1..].iter().fold(policy, |policy, quota| policy.and(quota.quota()))
        });
        let numbers =
            forms.iter().map(|(_, quotas)| quotas.iter().map(|it| it.numbers()).collect());
        let almanac = |form: &CalendarForm| {
            let of = |quota: &CalendarNumbers| match quota {
                CalendarNumbers::Of(_, almanac) => Some(*almanac),
                CalendarNumbers::Plain(_) => None,
            };
            let day = Almanac { unit: tollgate::Calendar::Day, zone: "Europe/Berlin" };
            form.1.iter().find_map(of).unwrap_or(day)
        };
        let almanacs = forms.iter().map(almanac).collect();
        let forms = Forms::of(subject, start, policies.collect(), numbers.collect());
        Self { forms: forms.with_bans(bans), almanacs, start }
    }

    pub fn step(&mut self, step: CalendarStep) -> FormAnswer {
        let now = self.forms.now;
        // The almanac ends at some time.
        let last = self.start + 8 * 366 * DAY;
        let to = match step {
            CalendarStep::Of(FormStep::Pass(_) | FormStep::Share(..)) if now >= last => now,
            CalendarStep::Of(step) => return self.forms.step(step),
            CalendarStep::Pass(span) => (now + span).min(last.max(now)),
            CalendarStep::Jump(span) => {
                now.saturating_add_signed(span).clamp(self.start - 180 * DAY, last)
            }
            CalendarStep::Bound(form, beside) => {
                let almanac = self.almanacs[form % self.almanacs.len()];
                almanac.window(now.min(last)).1.saturating_add_signed(beside).max(now)
            }
        };
        self.forms.set(to)
    }

    pub fn now(&self) -> u64 {
        self.forms.now
    }
}
