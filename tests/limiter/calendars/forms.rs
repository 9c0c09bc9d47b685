//! A policy whose period changes between a calendar's and one with a length: what was admitted in the
//! present window of the calendar is remembered.

use proptest::prelude::*;
use tollgate::{Algorithm, Outcome, Policy, Quota};

use support::almanac::{Almanac, almanacs, instants};
use support::reference::{DAY, Numbers, cases, micros};
use support::subject::{Memory, Store as _};

#[derive(Clone, Copy, Debug)]
enum Form {
    Calendar(u32),
    /// A log that is as long as the calendar's longest window.
    Log(u32),
    /// A window that the first charge opens.
    Window(u32, u64),
}

impl Form {
    fn policy(self, almanac: Almanac) -> Policy {
        let (quota, algorithm) = match self {
            Self::Calendar(limit) => (almanac.quota(limit), Algorithm::FixedWindow),
            Self::Log(limit) => {
                (Numbers::new(limit, almanac.longest()).quota(), Algorithm::SlidingWindow)
            }
            Self::Window(limit, period) => {
                (Numbers::new(limit, period).quota(), Algorithm::FixedWindow)
            }
        };
        Policy::new("p", quota).algorithm(algorithm)
    }
}

fn form() -> impl Strategy<Value = Form> {
    let period = prop::sample::select(vec![DAY / 24, DAY, 7 * DAY]);
    prop_oneof![
        3 => (1_u32..=12).prop_map(Form::Calendar),
        1 => (1_u32..=12).prop_map(Form::Log),
        1 => (1_u32..=12, period).prop_map(|(limit, period)| Form::Window(limit, period)),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A charge under the form of this number, and whether a refusal is waited for.
    Charge(usize, u32, bool),
    Peek(usize, u32),
    Pass(u64),
    /// To the end of the calendar's window, and so many microseconds beside it.
    Bound(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_usize..4, 1_u32..=3, any::<bool>())
            .prop_map(|(form, cost, waits)| Step::Charge(form, cost, waits)),
        2 => (0_usize..4, 0_u32..=12).prop_map(|(form, cost)| Step::Peek(form, cost)),
        2 => (0_u64..=DAY / 4).prop_map(Step::Pass),
        1 => (0_u64..=20 * DAY).prop_map(Step::Pass),
        2 => (-1_i64..=1).prop_map(Step::Bound),
    ]
}

/// What was admitted: when, how much, and if by the calendar.
type Admitted = (u64, u32, bool);

/// Plays the steps, and calls `look` after each charge that was admitted under a calendar, with all
/// that was admitted in its window and the limit.
fn play(
    (almanac, forms, start): (Almanac, &[Form], u64),
    steps: &[Step],
    look: impl Fn(&[Admitted], u32) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let memory = Memory::small();
    let mut now = start;
    let mut admitted = Vec::<Admitted>::new();
    for step in steps {
        memory.clock().set_micros(now);
        match *step {
            Step::Charge(form, cost, waits) => {
                let form = forms[form % forms.len()];
                let policy = form.policy(almanac);
                let decision = memory.check(&policy, "s", cost);
                if let (Outcome::Refused { retry_after }, true) = (decision.outcome(), waits) {
                    // The wait that is told is the last, whatever the form was before.
                    let peek = |at| {
                        memory.clock().set_micros(at);
                        memory.wait(memory.limiter().peek(&policy, "s", cost)).unwrap().is_allowed()
                    };
                    let from = now;
                    now += micros(retry_after);
                    prop_assert!(peek(now), "{:?} at {}", form, from);
                    continue;
                }
                if !decision.is_allowed() {
                    continue;
                }
                admitted.push((now, cost, matches!(form, Form::Calendar(_))));
                if let Form::Calendar(limit) = form {
                    let (from, to) = almanac.window(now);
                    let within = |(at, ..): &&Admitted| (from..to).contains(at);
                    let within: Vec<Admitted> = admitted.iter().filter(within).copied().collect();
                    look(&within, limit)?;
                }
            }
            Step::Peek(form, cost) => {
                let policy = forms[form % forms.len()].policy(almanac);
                let _ = memory.wait(memory.limiter().peek(&policy, "s", cost)).unwrap();
            }
            Step::Pass(micros) => now += micros,
            Step::Bound(beside) => {
                now = almanac.window(now).1.saturating_add_signed(beside).max(now);
            }
        }
    }
    Ok(())
}

fn units(admitted: &[Admitted]) -> u32 {
    admitted.iter().map(|(_, units, _)| units).sum()
}

/// From the first charge under the calendar in its window, all that any form admits is remembered.
#[test]
fn nothing_of_the_window_is_forgotten_while_the_period_changes() {
    proptest!(cases(400, 20_000), |(
        almanac in almanacs(),
        forms in prop::collection::vec(form(), 2..=4),
        start in instants(),
        steps in prop::collection::vec(step(), 1..=60),
    )| {
        play((almanac, &forms, start), &steps, |within, limit| {
            let first = within.iter().position(|(.., by_calendar)| *by_calendar).unwrap();
            prop_assert!(units(&within[first..]) <= limit, "{within:?} of {limit}");
            Ok(())
        })?;
    });
}

/// A log knows when everything was admitted, and so the calendar's window knows it, too.
#[test]
fn what_a_log_has_admitted_in_the_window_is_known_to_the_calendar() {
    let form =
        || prop_oneof![(1_u32..=12).prop_map(Form::Calendar), (1_u32..=12).prop_map(Form::Log)];
    proptest!(cases(400, 20_000), |(
        almanac in almanacs(),
        forms in prop::collection::vec(form(), 2..=4),
        start in instants(),
        steps in prop::collection::vec(step(), 1..=60),
    )| {
        play((almanac, &forms, start), &steps, |within, limit| {
            prop_assert!(units(within) <= limit, "{within:?} of {limit}");
            Ok(())
        })?;
    });
}

/// Two calendars of one unit in two zones are two periods.
#[test]
fn zones_are_told_apart() {
    let memory = Memory::small();
    let policy = |zone| {
        let day = Almanac { unit: tollgate::Calendar::Day, zone };
        Policy::new("p", day.quota(5)).algorithm(Algorithm::FixedWindow)
    };
    let [utc, berlin] = ["UTC", "Europe/Berlin"].map(policy);
    // Between midnight in Berlin and midnight in UTC.
    let (_, midnight) = Almanac { unit: tollgate::Calendar::Day, zone: "Europe/Berlin" }
        .window(1_750_000_000_000_000);
    memory.clock().set_micros(midnight - 1);
    assert_eq!(memory.check(&utc, "s", 3).remaining(), 2);
    memory.clock().set_micros(midnight + 1);
    // Those three were before midnight in Berlin, and after it in UTC.
    assert_eq!(memory.check(&berlin, "s", 2).remaining(), 3);
    assert_eq!(memory.check(&utc, "s", 0).remaining(), 0);
}

#[test]
fn a_quota_with_a_calendar_is_no_other_quota() {
    let month = Quota::calendar(3, tollgate::Calendar::Month, "UTC");
    assert_ne!(month, Quota::new(3, month.period()));
    assert_ne!(month, Quota::calendar(3, tollgate::Calendar::Month, "Asia/Kathmandu"));
    assert_eq!(month.period().as_secs(), (31 * 24 + 1) * 3_600);
}
