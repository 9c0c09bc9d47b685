//! The script, and what is sent to it.

use std::sync::LazyLock;

use redis::{Cmd, Script};

use super::job::Told;
use crate::backend::{Action, Operation};
use crate::{Algorithm, Quota};

/// The script as sent: without comments, which the server would only keep.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(&stripped()));

fn stripped() -> String {
    let lines = include_str!("script.lua").lines().map(str::trim);
    let code = lines.filter(|line| !line.is_empty() && !line.starts_with("--"));
    code.fold(String::new(), |text, line| text + line + "\n")
}

/// Makes the server know the script.
pub(super) fn load() -> Cmd {
    let mut command = redis::cmd("SCRIPT");
    command.arg("LOAD").arg(stripped());
    command
}

/// Asks for the decisions about `checks`, given as key and plan, in their order.
pub(super) fn call<'a>(
    checks: impl ExactSizeIterator<Item = (&'a [u8], &'a Plan)> + Clone,
    virtual_micros: Option<u64>,
) -> Cmd {
    let mut plans: Vec<&Plan> = Vec::new();
    let mut indexes = Vec::with_capacity(checks.len());
    for (_, plan) in checks.clone() {
        // Most flights carry checks of one or two policies.
        let index = plans.iter().position(|other| *other == plan).unwrap_or_else(|| {
            plans.push(plan);
            plans.len() - 1
        });
        // A flight carries at most `MAX_CHECKS`; numbered from 1, as Lua does.
        indexes.push(index as u8 + 1);
    }
    let mut command = redis::cmd("EVALSHA");
    command.arg(SCRIPT.get_hash()).arg(checks.len());
    for (key, _) in checks {
        command.arg(key);
    }
    match virtual_micros {
        Some(micros) => command.arg(micros),
        None => command.arg(""),
    };
    command.arg(&indexes[..]);
    for plan in plans {
        command.arg(&*plan.0);
    }
    command
}

/// What the script answers to a call, one after the other.
pub(super) struct Answers<'a> {
    now: u64,
    rest: &'a [u8],
}

impl<'a> Answers<'a> {
    pub(super) fn of(answer: &'a [u8]) -> Option<Self> {
        let (now, rest) = answer.split_first_chunk()?;
        Some(Self { now: u64::from_le_bytes(*now), rest })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

/// A check that failed has the error's text.
impl Iterator for Answers<'_> {
    type Item = Result<Told, String>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.take(1)? {
            [FAILED] => {
                let length = self.take(4)?.try_into().ok()?;
                let text = self.take(u32::from_le_bytes(length) as usize)?;
                Some(Err(String::from_utf8_lossy(text).into_owned()))
            }
            count => {
                let numbers = self.take(usize::from(*count.first()?) * 8)?.as_chunks().0;
                let numbers = numbers.iter().map(|number| u64::from_le_bytes(*number)).collect();
                Some(Ok(Told { now: self.now, numbers }))
            }
        }
    }
}

/// In place of how many numbers follow.
const FAILED: u8 = 255;

/// What to do and by which quotas, as the script reads it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan(Box<[u8]>);

/// Longer spans are taken for this: no bucket holds more than ten years.
const LONGEST: u64 = 1 << 52;

impl Plan {
    pub(super) fn of(operation: &Operation<'_>) -> Self {
        let quotas = operation.check.policy.quotas();
        let cost = operation.check.cost;
        let (action, cost, stamp) = match operation.action {
            // What can never be admitted is not asked for.
            Action::Charge | Action::Peek if cost == 0 || operation.check.can_never_pass() => {
                (1, 0, 0)
            }
            Action::Charge => (0, cost, 0),
            Action::Peek => (1, cost, 0),
            Action::Reset => (2, 0, 0),
            Action::Refund { stamp_micros, source: _ } => (3, cost, stamp_micros),
        };
        let family = match operation.check.policy.get_algorithm() {
            Algorithm::SlidingWindow => 1,
            Algorithm::SlidingWindowCounter => 2,
            Algorithm::FixedWindow => 3,
            Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::Gcra => 4,
        };
        let mut plan = Vec::with_capacity(16 + 40 * quotas.len());
        // At most `MAX_QUOTAS`.
        plan.extend([family, action, quotas.len() as u8, 0]);
        plan.extend(cost.to_le_bytes());
        plan.extend(number(stamp));
        for quota in quotas {
            // Refused, it writes nothing, so what one request may use is the bucket it knows.
            let (span, rest) = span(quota, quota.usable());
            plan.extend(quota.limit().to_le_bytes());
            plan.extend(quota.usable().to_le_bytes());
            plan.extend(number(quota.period_micros()));
            plan.extend(number(span));
            plan.extend(rest.to_le_bytes());
        }
        for quota in quotas {
            let (span, rest) = span(quota, cost);
            plan.extend(number(span));
            plan.extend(rest.to_le_bytes());
        }
        Self(plan.into())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The time that `count` units take: whole microseconds, and a rest in 1/limit of one.
fn span(quota: &Quota, count: u32) -> (u64, u32) {
    let (limit, units) = (u128::from(quota.limit()), u128::from(count));
    let product = units * u128::from(quota.period_micros());
    let span = u64::try_from(product / limit).unwrap_or(LONGEST).min(LONGEST);
    // Less than the limit, which fits.
    (span, (product % limit) as u32)
}

/// As a double, which holds whole numbers up to 2^53.
fn number(micros: u64) -> [u8; 8] {
    (micros.min(LONGEST) as f64).to_le_bytes()
}
