//! Calls of the script: encoding of the plans, and decoding of the replies.

mod commands;
mod text;

use std::sync::LazyLock;

use redis::{Cmd, Script};
use smallvec::SmallVec;

use crate::micros::{TimeSpan, Timestamp};
use crate::operation::{Action, Operation};
use crate::{Algorithm, Quota};

pub(super) use self::commands::commands;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(&text::TEXT));

/// Puts the script together, which takes some milliseconds in a debug build.
pub(super) fn prepare() {
    LazyLock::force(&SCRIPT);
}

/// Returns the command that loads the script into the server.
pub(super) fn load() -> Cmd {
    let mut command = redis::cmd("SCRIPT");
    command.arg("LOAD").arg(&**text::TEXT);
    command
}

/// The keys of a check: that of its counters, and that of the permits of its subject; `None` if it
/// neither takes nor reports any.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    pub(super) counters: Box<[u8]>,
    pub(super) permits: Option<Box<[u8]>>,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.counters.len() + self.permits.as_ref().map_or(0, |key| key.len())
    }
}

/// Returns the command that runs the script on `checks`, each its keys and a plan, in their order.
pub(super) fn call<'a>(
    checks: impl ExactSizeIterator<Item = (&'a Keys, &'a Plan)> + Clone,
    virtual_micros: Option<u64>,
) -> Cmd {
    let mut plans: Vec<&Plan> = Vec::new();
    let mut indexes = Vec::with_capacity(checks.len());
    let mut has_permits = false;
    for (keys, plan) in checks.clone() {
        has_permits |= keys.permits.is_some();
        // Most batches have checks of one or two policies.
        let index = plans.iter().position(|other| *other == plan).unwrap_or_else(|| {
            plans.push(plan);
            plans.len() - 1
        });
        // The index fits into a byte, because a batch has at most `MAX_CHECKS` checks. Lua counts
        // from 1.
        indexes.push(index as u8 + 1);
    }
    let mut command = redis::cmd("EVALSHA");
    command.arg(SCRIPT.get_hash()).arg(checks.len() * if has_permits { 2 } else { 1 });
    for (keys, _) in checks.clone() {
        command.arg(&*keys.counters);
    }
    for (keys, _) in checks.filter(|_| has_permits) {
        command.arg(keys.permits.as_ref().unwrap_or(&keys.counters));
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
    /// A note that few replies have.
    pub(super) note: Option<Box<Note>>,
    /// Up to 4 numbers are stored inline, which is enough for one quota.
    pub(super) numbers: SmallVec<[u64; 4]>,
}

/// A note on the way of a check.
#[derive(Debug)]
pub(super) enum Note {
    /// The value of the key could not be read, for this reason, and was replaced.
    Replaced(Box<str>),
    /// The check was not carried out, because these windows of calendars did not come with it.
    Wanted(Box<[u8]>),
}

impl ScriptReply {
    /// Returns the server's time, and the list of the windows of calendars for which the check has to be
    /// sent once more; `None` if it was carried out.
    pub(super) fn wanted(&self) -> Option<(Timestamp, &[u8])> {
        match self.note.as_deref()? {
            Note::Wanted(list) => Some((Timestamp::from_micros(self.now), list)),
            Note::Replaced(_) => None,
        }
    }
}

/// The reason why a check of a call has no reply.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The check failed with this error.
    Failed(String),
    /// The check was not carried out, because those before it caused much work.
    Deferred,
}

/// Iterator over the replies in the answer to a call, in the order of its checks.
pub(super) struct Answers<'a> {
    now: u64,
    rest: &'a [u8],
}

impl<'a> Answers<'a> {
    pub(super) fn new(answer: &'a [u8]) -> Option<Self> {
        let (now, rest) = answer.split_first_chunk()?;
        Some(Self { now: u64::from_le_bytes(*now), rest })
    }

    /// Returns the number of checks at the end of the call that were not carried out.
    pub(super) fn deferred(answer: &[u8]) -> usize {
        // Neither a time nor UTF-8 text ends with this byte.
        answer.iter().rev().take_while(|byte| **byte == DEFERRED).count()
    }

    /// Returns `true` if every check of the call was carried out: none was deferred, and none has failed.
    pub(super) fn are_whole(mut self) -> bool {
        let answers = &mut self;
        while let Some(first) = answers.take(1) {
            let skipped = match first {
                [FAILED | DEFERRED] => return false,
                [REPLACED | WANTED] => answers.take_counted(),
                count => count.first().and_then(|count| answers.take(usize::from(*count) * 8)),
            };
            if skipped.is_none() {
                return false;
            }
        }
        true
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// Takes bytes, which stand after their number.
    fn take_counted(&mut self) -> Option<&'a [u8]> {
        let length = self.take(4)?.try_into().ok()?;
        self.take(u32::from_le_bytes(length) as usize)
    }

    /// Takes a text, which stands after its length.
    fn take_text(&mut self) -> Option<String> {
        self.take_counted().map(|text| String::from_utf8_lossy(text).into_owned())
    }
}

impl Iterator for Answers<'_> {
    type Item = Result<ScriptReply, Unanswered>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut first = self.take(1)?;
        let mut note = None;
        if first == [REPLACED] {
            note = Some(Box::new(Note::Replaced(self.take_text()?.into())));
            first = self.take(1)?;
        }
        match first {
            [FAILED] => Some(Err(Unanswered::Failed(self.take_text()?))),
            [DEFERRED] => Some(Err(Unanswered::Deferred)),
            [WANTED] => {
                let note = Some(Box::new(Note::Wanted(self.take_counted()?.into())));
                Some(Ok(ScriptReply { now: self.now, note, numbers: SmallVec::new() }))
            }
            count => {
                let numbers = self.take(usize::from(*count.first()?) * 8)?.as_chunks().0;
                let numbers = numbers.iter().map(|number| u64::from_le_bytes(*number)).collect();
                Some(Ok(ScriptReply { now: self.now, note, numbers }))
            }
        }
    }
}

/// The byte in place of the count of numbers in the reply to a check that has failed.
const FAILED: u8 = 255;
/// The byte before the reply to a check whose key had a value that could not be read. The reason
/// follows.
const REPLACED: u8 = 254;
/// The reply to a check that was not carried out.
const DEFERRED: u8 = 253;
/// The byte before the list of the windows of calendars that a check lacked.
const WANTED: u8 = 252;

/// The action and the quotas of an operation, encoded for the script; `script/plan.lua` decodes it.
/// All numbers are little-endian, and times are doubles, in microseconds:
///
/// - algorithm, action and number of quotas, a byte each, and a byte that is 1 if a request may use
///   no more of the bucket than its own cost, as for calls that leave a queue at even intervals;
/// - cost (4 bytes), and the time of the charge to refund (8);
/// - for each quota: limit (4), capacity (4), period (8), and the time to replenish the capacity
///   (8) with its fraction in 1/limit of a microsecond (4);
/// - for each quota: the time to replenish the cost (8), with its fraction (4);
/// - for a charge that a ban counts: the number of refusals before a ban and the factor by which bans
///   grow (4 each), and the lengths of the first and of the longest one (8 each);
/// - for a settlement: the units that the request came to (4);
/// - windows of calendars, as [`windows`](super::windows) encodes them: first those of the quotas that
///   have a calendar, in their order. Their capacity above is 0;
/// - for a check that takes permits, and for a report on them: what [`PermitArguments`] has, in its
///   order.
///
/// A ban is as long as the time in the place of the charge's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan(Box<[u8]>);

/// The action of a charge whose refusal a ban counts.
const COUNTED_CHARGE: u8 = 7;

/// The longest time that is sent, in microseconds. Longer times are replaced by it, since no bucket
/// takes more than ten years to fill.
const MAX_MICROS: u64 = 1 << 52;

/// The action of a report on the permits that this process holds.
const REPORT: u8 = 9;
/// The number that is added to the action of a check which takes a permit.
const WITH_PERMIT: u8 = 16;

/// The account of the permits that this process holds of a subject, as an operation states it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PermitArguments {
    /// The number of this process.
    pub(super) owner: [u8; 8],
    /// The number of the operation, larger than those of all before it.
    pub(super) number: u64,
    /// The permits that the process holds for certain.
    pub(super) have: u32,
    /// `true` if no other operation that takes one is on its way, so that it holds no more.
    pub(super) is_exact: bool,
    pub(super) limit: u32,
    /// The time for which the permits stay without a renewal, in microseconds.
    pub(super) hold_micros: u64,
    /// The permits that the process has released so far.
    pub(super) released: u64,
}

impl Plan {
    /// Creates the plan of a report on permits.
    pub(super) fn report(permits: &PermitArguments) -> Self {
        let mut plan = vec![1, REPORT + WITH_PERMIT, 0, 0];
        // There is no cost and no charge to refund.
        plan.extend([0; 12]);
        Self(plan.into()).with_permits(permits)
    }

    /// Adds what the operation says of permits.
    pub(super) fn with_permits(self, permits: &PermitArguments) -> Self {
        let PermitArguments { owner, number, have, is_exact, limit, .. } = *permits;
        let mut plan = self.0.into_vec();
        if let Some(action) = plan.get_mut(1) {
            *action = *action % WITH_PERMIT + WITH_PERMIT;
        }
        plan.extend(owner);
        plan.extend((number as f64).to_le_bytes());
        for count in [have, u32::from(is_exact), limit] {
            plan.extend(count.to_le_bytes());
        }
        plan.extend(encoded_micros(permits.hold_micros));
        plan.extend((permits.released as f64).to_le_bytes());
        Self(plan.into())
    }

    pub(super) fn of(operation: &Operation<'_>) -> Self {
        let quotas = operation.check.policy.quotas();
        let cost = operation.check.cost;
        let ban = operation.check.policy.counted_ban();
        let (action, cost, stamp) = match operation.action {
            // A cost that can never be admitted is not charged; the script only reads the state.
            Action::Charge | Action::Peek if cost == 0 || operation.check.can_never_pass() => {
                (1, 0, 0)
            }
            Action::Charge if ban.is_some() => (COUNTED_CHARGE, cost, 0),
            Action::Charge => (0, cost, 0),
            Action::Peek => (1, cost, 0),
            Action::Reset => (2, 0, 0),
            Action::Refund { stamp_micros, forgives: true, .. } => (8, cost, stamp_micros),
            Action::Refund { stamp_micros, .. } => (3, cost, stamp_micros),
            Action::Settle { stamp_micros, .. } => (4, cost, stamp_micros),
            Action::Ban { duration } => {
                // No ban is longer than the longest debt.
                let span = TimeSpan::from_duration(duration).micros();
                (5, 0, span.min(Quota::MAX_FILL_MICROS))
            }
            Action::Unban => (6, 0, 0),
        };
        let family = match operation.check.policy.get_algorithm() {
            Algorithm::SlidingWindow => 1,
            Algorithm::SlidingWindowCounter => 2,
            Algorithm::FixedWindow => 3,
            Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::Gcra => 4,
        };
        let mut plan = Vec::with_capacity(16 + 40 * quotas.len());
        // The count fits into a byte, because a policy has at most `MAX_QUOTAS` quotas.
        let spaced = quotas.iter().any(|quota| quota.usable() != quota.capacity());
        plan.extend([family, action, quotas.len() as u8, u8::from(spaced)]);
        plan.extend(cost.to_le_bytes());
        // Instants are exact in doubles up to 2^53, as in the script itself.
        plan.extend((stamp as f64).to_le_bytes());
        for quota in quotas {
            let (span, fraction) = span(quota, quota.capacity());
            plan.extend(quota.limit().to_le_bytes());
            let has_length = quota.calendar_period().is_none();
            plan.extend((if has_length { quota.capacity() } else { 0 }).to_le_bytes());
            plan.extend(encoded_micros(quota.period_micros()));
            plan.extend(encoded_micros(span));
            plan.extend(fraction.to_le_bytes());
        }
        for quota in quotas {
            let (span, fraction) = span(quota, cost);
            plan.extend(encoded_micros(span));
            plan.extend(fraction.to_le_bytes());
        }
        if let (COUNTED_CHARGE, Some(ban)) = (action, ban) {
            plan.extend(ban.after().to_le_bytes());
            plan.extend(ban.growth().to_le_bytes());
            plan.extend(encoded_micros(ban.length(0).micros()));
            plan.extend(encoded_micros(ban.longest_span().micros()));
        }
        if let Action::Settle { actual, .. } = operation.action {
            plan.extend(actual.to_le_bytes());
        }
        Self(plan.into())
    }

    /// Returns the plan with these windows of calendars.
    pub(super) fn with_windows(self, windows: &[u8]) -> Self {
        Self([&self.0, windows].concat().into())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Returns the time to replenish `count` units: whole microseconds, and a fraction in 1/limit of a
/// microsecond.
fn span(quota: &Quota, count: u32) -> (u64, u32) {
    let (limit, units) = (u128::from(quota.limit()), u128::from(count));
    let product = units * u128::from(quota.period_micros());
    let span = u64::try_from(product / limit).unwrap_or(MAX_MICROS).min(MAX_MICROS);
    // The remainder is less than the limit, so it fits into `u32`.
    (span, (product % limit) as u32)
}

/// Encodes a time as a double, which is exact for whole numbers up to 2^53.
fn encoded_micros(micros: u64) -> [u8; 8] {
    (micros.min(MAX_MICROS) as f64).to_le_bytes()
}
