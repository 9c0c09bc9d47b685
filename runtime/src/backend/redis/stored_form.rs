//! The form of a stored state: the algorithm and the quotas of the policy that was charged last.

use std::time::Duration;

use super::windows;
use crate::{Algorithm, Policy, Quota};

/// The number of bytes at the beginning of a state that contain its form: a header, and a part for
/// each quota.
pub(super) const LONGEST: usize = 12 + Policy::MAX_QUOTAS * LONGEST_PART;
/// The length of the longest part, which counts by a calendar and has its name.
const LONGEST_PART: usize = 57 + u8::MAX as usize;

/// The version of the stored state, as in `script/main.lua`.
const VERSION: u8 = 3;
/// The mark in the number of entries of a log whose entries have units.
const WIDE: u16 = 1 << 15;

/// The form in which a subject is counted: the algorithm and the quotas of the policy that admitted
/// it last. [`RedisBackend::stored_state`](crate::RedisBackend::stored_state) reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredForm {
    family: Family,
    quotas: Vec<Quota>,
}

/// The algorithms that store the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Family {
    Log,
    Counter,
    Fixed,
    Bucket,
}

impl StoredForm {
    /// Reads the form at the beginning of a state. Returns `None` if there is none that this
    /// release knows; `script/codec.lua` says what there can be.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let mut value = StateReader(value);
        let [version, family, count, _] = value.take()?;
        if version != VERSION || !(1..=Policy::MAX_QUOTAS).contains(&usize::from(count)) {
            return None;
        }
        // The short forms of small logs.
        if matches!(family, 5 | 6) {
            let limit = value.u32()?;
            let period = if family == 5 { value.u32()?.into() } else { value.micros()? };
            let quotas = vec![quota(limit, limit, period)?];
            return (count == 1).then_some(Self { family: Family::Log, quotas });
        }
        let family = match family {
            1 => Family::Log,
            2 => Family::Counter,
            3 => Family::Fixed,
            4 => Family::Bucket,
            _ => return None,
        };
        value.micros()?;
        let quotas = (0..count).map(|_| match family {
            Family::Log => value.log(),
            Family::Fixed => value.fixed(),
            Family::Counter | Family::Bucket => value.numbers(),
        });
        Some(Self { family, quotas: quotas.collect::<Option<_>>()? })
    }

    /// Returns the algorithms whose form this is. The token bucket, the leaky bucket and GCRA store
    /// the same.
    #[must_use]
    pub const fn algorithms(&self) -> &'static [Algorithm] {
        match self.family {
            Family::Log => &[Algorithm::SlidingWindow],
            Family::Counter => &[Algorithm::SlidingWindowCounter],
            Family::Fixed => &[Algorithm::FixedWindow],
            Family::Bucket => &[Algorithm::TokenBucket, Algorithm::LeakyBucket, Algorithm::Gcra],
        }
    }

    /// Returns the quotas, in the order of the policy.
    #[must_use]
    pub fn quotas(&self) -> &[Quota] {
        &self.quotas
    }

    /// Returns a policy of this form, by which the subject can be looked at without the program
    /// that counts it. Options that are not stored, such as a ban, are left out.
    #[must_use]
    pub fn policy(&self, name: impl Into<String>) -> Policy {
        let mut quotas = self.quotas.iter().copied();
        // There is one at least, or nothing would have been read.
        let first = quotas.next().unwrap_or(Quota::BLOCKED);
        let policy = Policy::named(name, first).algorithm(self.algorithms()[0]);
        quotas.fold(policy, Policy::and)
    }
}

/// Returns the quota of these numbers, if they are those of one.
fn quota(limit: u32, capacity: u32, period: u64) -> Option<Quota> {
    let quota = Quota::try_new(limit, Duration::from_micros(period)).ok()?;
    (1..=quota.max_burst()).contains(&capacity).then(|| quota.burst(capacity))
}

/// Reads numbers, which are little-endian.
struct StateReader<'a>(&'a [u8]);

impl StateReader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// Reads a time, which is a double.
    fn micros(&mut self) -> Option<u64> {
        let micros = self.take().map(f64::from_le_bytes)?;
        let is_whole = micros.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&micros);
        is_whole.then_some(micros as u64)
    }

    /// Reads the part of a log, and passes over its times.
    fn log(&mut self) -> Option<Quota> {
        let (limit, _) = (self.u32()?, self.u32()?);
        let (period, _, count, _) = (self.micros()?, self.u16()?, self.u16()?, self.u16()?);
        if count < WIDE {
            self.take::<8>()?;
        } else {
            self.take::<28>()?;
        }
        quota(limit, limit, period)
    }

    /// Reads the part of another algorithm, and passes over its numbers.
    fn numbers(&mut self) -> Option<Quota> {
        let (limit, capacity, period) = (self.u32()?, self.u32()?, self.micros()?);
        self.take::<16>()?;
        quota(limit, capacity, period)
    }

    /// Reads the part of a fixed window, and passes over its numbers. That of a calendar has the
    /// capacity 0, and its window and its name at the end.
    fn fixed(&mut self) -> Option<Quota> {
        let Some([_, _, _, _, 0, 0, 0, 0]) = self.0.first_chunk() else { return self.numbers() };
        let limit = self.u32()?;
        self.take::<52>()?;
        let [length] = self.take()?;
        let (name, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        Quota::try_of_calendar(limit, windows::period_of(name)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_are_trouble(mut value in prop::collection::vec(any::<u8>(), 0..220)) {
            // Mostly the right version.
            if let Some(first) = value.first_mut() && *first > 40 {
                *first = VERSION;
            }
            if let Some(form) = StoredForm::read(&value) {
                let policy = form.policy("a");
                prop_assert_eq!(policy.quotas(), form.quotas());
            }
        }
    }
}
