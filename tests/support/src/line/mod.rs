//! Lines of callers that wait, beside a model of them: whoever waits is polled only when woken, and
//! may be given up at any time.

mod crowd;
mod model;
mod steps;
mod waiter;

use std::time::Duration;

pub use self::crowd::{Crowd, PLAN_AGE, Plan, line_limiter, plans};
pub use self::model::Model;
pub use self::steps::{Case, Step, cases};
pub use self::waiter::Waiter;
use crate::reference::{Numbers, START, has_bucket};
use crate::subject::Store;
use tollgate::{Algorithm, Policy};

/// One event, as the crowd has seen it or as the model says it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The caller that came as this number has left the line.
    Left(usize, Fate),
    /// A check that does not wait: admitted, or told to come again after so long. `None`: it is not
    /// said after how long.
    Checked(bool, Option<Duration>),
    Refunded(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Admitted,
    Refused,
    Never,
    /// The policy was switched off.
    Free,
}

pub fn policy(algorithm: Algorithm, numbers: &[Numbers]) -> Policy {
    let policy = Policy::new("line", numbers[0].quota()).algorithm(algorithm);
    numbers[1..].iter().fold(policy, |policy, numbers| policy.and(numbers.quota()))
}

/// Plays a case on a store and on the model. An error says where they differ.
pub fn play<S: Store>(crowd: &mut Crowd<'_, S>, case: &Case) -> Result<(), String> {
    let mut model = Model::new(case.algorithm, &case.numbers, START);
    for (index, step) in case.steps.iter().enumerate() {
        let seen = crowd.step(*step);
        let expected = model.step(*step);
        if !alike(&seen, &expected) {
            return Err(format!("step {index}, {step:?}: {seen:?}, and not {expected:?}"));
        }
        for hopeless in std::mem::take(&mut model.hopeless) {
            if Model::would_have_gone(case, index, hopeless) {
                return Err(format!("step {index}, {step:?}: {hopeless} could have gone in time"));
            }
        }
    }
    crowd.end().then_some(()).ok_or_else(|| "somebody is left in line".to_owned())
}

fn alike(seen: &[Event], expected: &[Event]) -> bool {
    let is_like = |pair: (&Event, &Event)| match pair {
        (Event::Checked(seen, _), Event::Checked(expected, None)) => seen == expected,
        (seen, expected) => seen == expected,
    };
    seen.len() == expected.len() && seen.iter().zip(expected).all(is_like)
}

/// Whether the limit of such a bucket is only changed when nothing is in it.
fn is_reset_first(algorithm: Algorithm) -> bool {
    has_bucket(algorithm)
}
