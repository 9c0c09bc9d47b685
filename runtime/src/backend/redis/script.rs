//! The script, and what is sent to it.

use std::sync::LazyLock;

use redis::{Cmd, Script};
use smallvec::SmallVec;

use crate::backend::{Action, Operation};
use crate::{Algorithm, Quota};

/// The script as sent: without comments, which the server would only keep.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(&stripped()));

fn stripped() -> String {
    let lines = include_str!("script.lua").lines().map(str::trim);
    let code = lines.filter(|line| !line.is_empty() && !line.starts_with("--"));
    code.fold(String::new(), |text, line| text + line + "\n")
}

/// Returns the command that loads the script into the server.
pub(super) fn load() -> Cmd {
    let mut command = redis::cmd("SCRIPT");
    command.arg("LOAD").arg(stripped());
    command
}

/// Returns the command that runs the script on `checks`, each a key and a plan, in their order.
pub(super) fn call<'a>(
    checks: impl ExactSizeIterator<Item = (&'a [u8], &'a Plan)> + Clone,
    virtual_micros: Option<u64>,
) -> Cmd {
    let mut plans: Vec<&Plan> = Vec::new();
    let mut indexes = Vec::with_capacity(checks.len());
    for (_, plan) in checks.clone() {
        // Most batches have checks of one or two policies.
        let index = plans.iter().position(|other| *other == plan).unwrap_or_else(|| {
            plans.push(plan);
            plans.len() - 1
        });
        // It fits into a byte, as a batch has at most `MAX_CHECKS`. Lua counts from 1.
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

/// The script's reply to one operation: its status and the raw state of the quotas.
#[derive(Debug)]
pub(super) struct ScriptReply {
    pub(super) now: u64,
    pub(super) numbers: Numbers,
}

/// Inline for up to 4 numbers, which is enough for one quota.
pub(super) type Numbers = SmallVec<[u64; 4]>;

/// Iterator over the replies in the answer to a call, in the order of its checks. A check that
/// failed has the text of the error.
pub(super) struct Answers<'a> {
    now: u64,
    rest: &'a [u8],
}

impl<'a> Answers<'a> {
    pub(super) fn new(answer: &'a [u8]) -> Option<Self> {
        let (now, rest) = answer.split_first_chunk()?;
        Some(Self { now: u64::from_le_bytes(*now), rest })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl Iterator for Answers<'_> {
    type Item = Result<ScriptReply, String>;

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
                Some(Ok(ScriptReply { now: self.now, numbers }))
            }
        }
    }
}

/// Stands in place of the count of numbers if a check has failed.
const FAILED: u8 = 255;

/// The action and the quotas of an operation, encoded for the script.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan(Box<[u8]>);

/// The greatest time in microseconds that is sent. Longer spans are cut to it, since no bucket
/// holds more than ten years.
const LONGEST: u64 = 1 << 52;

impl Plan {
    pub(super) fn of(operation: &Operation<'_>) -> Self {
        let quotas = operation.policy.quotas();
        let (action, cost, stamp) = match operation.action {
            // A cost that can never be admitted is not charged; the script only reads the state.
            Action::Charge { cost } | Action::Peek { cost }
                if cost == 0 || quotas.iter().any(|quota| cost > quota.capacity()) =>
            {
                (1, 0, 0)
            }
            Action::Charge { cost } => (0, cost, 0),
            Action::Peek { cost } => (1, cost, 0),
            Action::Reset => (2, 0, 0),
            Action::Refund { stamp_micros, cost, source: _ } => (3, cost, stamp_micros),
        };
        let family = match operation.policy.get_algorithm() {
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
            // A refusal writes nothing, so the bucket that the script knows is the part that one
            // request may use.
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

/// Returns the time that `count` units take: whole microseconds, and the remainder in 1/limit of
/// a microsecond.
fn span(quota: &Quota, count: u32) -> (u64, u32) {
    let (limit, units) = (u128::from(quota.limit()), u128::from(count));
    let product = units * u128::from(quota.period_micros());
    let span = u64::try_from(product / limit).unwrap_or(LONGEST).min(LONGEST);
    // Less than the limit, which fits.
    (span, (product % limit) as u32)
}

/// Encodes a time as a double, which is exact for whole numbers up to 2^53.
fn number(micros: u64) -> [u8; 8] {
    (micros.min(LONGEST) as f64).to_le_bytes()
}
