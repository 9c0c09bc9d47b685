//! The limit on the requests of a subject that are in flight at the same time.

use std::fmt;
use std::time::Duration;

use super::Policy;
use crate::error::fmt_with_causes;
use crate::{Quota, duration_text};

/// The time for which a permit is held without a renewal, unless that is set: a minute.
const HOLD: u64 = 60_000_000;
/// The shortest and the longest such time: 100 ms and a day.
const MIN_HOLD: u64 = 100_000;
const MAX_HOLD: u64 = 24 * 3_600_000_000;
/// The time after which a refused client is told to come again, unless that is set: a second.
const HINT: u64 = 1_000_000;

/// A limit on how many requests of a subject are in flight at the same time.
///
/// An admitted request takes a permit and holds it until it has ended: a request over HTTP until the
/// body of its response has been sent or given up, a function until its future has ended or is
/// dropped, and a check until its [`Decision`](crate::Decision) is dropped. A request of cost 0
/// takes none, and any other takes one, whatever it costs.
///
/// In memory a permit is free at once when its request ends. On Redis it is a lease that its process
/// renews each third of [`hold`](Self::hold). If the process dies, its permits are free `hold` after
/// the last renewal. While every process reaches the server within that time, there are never more
/// than `limit` requests in flight. Each time that a process does not, its permits may be given
/// again: at most `limit` more for each `hold` that it lasts.
///
/// Nobody knows when a request will end, so a refusal has no exact instant. A client is told to come
/// again after [`retry_after`](Self::retry_after).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use tollgate::{InFlight, Limiter, MemoryBackend, Policy};
///
/// const EXPORTS: Policy = Policy::in_flight_only("exports", InFlight::new(1));
///
/// let limiter = Limiter::new(MemoryBackend::new());
/// let first = limiter.check(&EXPORTS, "alice").await?;
/// assert!(first.is_allowed());
/// assert!(!limiter.check(&EXPORTS, "alice").await?.is_allowed());
/// drop(first);
/// assert!(limiter.check(&EXPORTS, "alice").await?.is_allowed());
/// # Ok::<_, tollgate::Unavailable>(()) }).unwrap();
/// ```
///
/// In the attribute it is written `in_flight = 1, hold = "1m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InFlight {
    limit: u32,
    hold_micros: u64,
    hint_micros: u64,
}

impl InFlight {
    /// Creates a limit of so many requests at the same time. A permit is held for a minute without a
    /// renewal, and a refused client is told to come again after a second.
    ///
    /// # Panics
    ///
    /// If `limit` is 0. In a `const` that is a compile error. For numbers that the program reads at
    /// run time, use [`try_new`](Self::try_new).
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        match Self::try_new(limit) {
            Ok(in_flight) => in_flight,
            Err(error) => error.panic(),
        }
    }

    /// Creates a limit like [`new`](Self::new), if the number is valid.
    ///
    /// # Errors
    ///
    /// An [`InFlightError`] if `limit` is 0.
    pub const fn try_new(limit: u32) -> Result<Self, InFlightError> {
        if limit == 0 {
            return Err(InFlightError::ZeroLimit);
        }
        Ok(Self { limit, hold_micros: HOLD, hint_micros: HINT })
    }

    /// Sets the time for which a permit is held after the last renewal; 60 s by default. It is the
    /// longest time for which the permits of a process that has died stay taken. It counts only on
    /// Redis: in memory nothing has to be renewed.
    ///
    /// # Panics
    ///
    /// If `duration` is shorter than 100 ms, longer than a day or not a whole number of microseconds.
    /// In a `const` that is a compile error.
    #[must_use]
    pub const fn hold(mut self, duration: Duration) -> Self {
        if let Err(error) = self.set_hold(duration) {
            error.panic()
        }
        self
    }

    /// Sets the time after which a refused client is told to come again; 1 s by default.
    ///
    /// # Panics
    ///
    /// If `duration` is shorter than 1 ms, longer than a day or not a whole number of microseconds.
    /// In a `const` that is a compile error.
    #[must_use]
    pub const fn retry_after(mut self, duration: Duration) -> Self {
        match micros_of(duration, Quota::MIN_PERIOD_MICROS) {
            Ok(micros) => self.hint_micros = micros,
            Err(_) => InFlightError::Retry.panic(),
        }
        self
    }

    pub(crate) const fn set_hold(&mut self, duration: Duration) -> Result<(), InFlightError> {
        match micros_of(duration, MIN_HOLD) {
            Ok(micros) => self.hold_micros = micros,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Returns the number of requests that can be in flight at the same time.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Returns the time for which a permit is held without a renewal.
    #[must_use]
    pub const fn get_hold(&self) -> Duration {
        Duration::from_micros(self.hold_micros)
    }

    /// Returns the time after which a refused client is told to come again.
    #[must_use]
    pub const fn get_retry_after(&self) -> Duration {
        Duration::from_micros(self.hint_micros)
    }

    #[cfg(feature = "redis")]
    pub(crate) const fn hold_micros(&self) -> u64 {
        self.hold_micros
    }

    /// Returns this limit with another number of requests, which must be at least 1.
    pub(crate) const fn with_limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    /// Divides the limit among `instances` processes, and returns that of one of them.
    pub(crate) fn share(self, instances: u32) -> Self {
        self.with_limit(self.limit.div_ceil(instances.max(1)))
    }
}

impl Policy {
    /// Creates a policy that only limits how many requests are in flight at the same time, and has no
    /// quota. In the attribute it is written `in_flight = 20`.
    #[must_use]
    pub const fn in_flight_only(name: &'static str, in_flight: InFlight) -> Self {
        Self::without_limits(name).in_flight(in_flight)
    }

    /// Creates a policy like [`in_flight_only`](Self::in_flight_only) with a name that is known only at
    /// run time.
    #[must_use]
    pub fn named_in_flight_only(name: impl Into<String>, in_flight: InFlight) -> Self {
        let mut policy = Self::named(name, Quota::PLACEHOLDER);
        policy.quota_count = 0;
        policy.in_flight(in_flight)
    }

    /// Creates a policy to which quotas or a limit on requests in flight are added.
    pub(crate) const fn without_limits(name: &'static str) -> Self {
        let mut policy = Self::new(name, Quota::PLACEHOLDER);
        policy.quota_count = 0;
        policy
    }

    /// Limits how many requests of a subject are in flight at the same time, beside the quotas: a
    /// request is admitted if the quotas admit it and a permit is free, and is otherwise not charged.
    /// Such a policy has no [leases](crate::LocalTier) and no deny cache.
    #[must_use]
    pub const fn in_flight(mut self, in_flight: InFlight) -> Self {
        self.set_in_flight(Some(in_flight));
        self
    }

    pub(crate) const fn set_in_flight(&mut self, in_flight: Option<InFlight>) {
        self.in_flight = in_flight;
    }

    /// Returns the limit on requests in flight; `None` if there is none.
    #[inline]
    #[must_use]
    pub const fn get_in_flight(&self) -> Option<InFlight> {
        self.in_flight
    }

    /// Returns the policy without its limit on requests in flight, for charges of requests that have
    /// ended.
    pub(crate) fn without_in_flight(mut self) -> Self {
        self.in_flight = None;
        self
    }
}

/// Formats the limit as messages do, for example `20 at a time`.
impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at a time", self.limit)?;
        if self.hold_micros != HOLD {
            write!(f, ", held for {}", duration_text::format(self.get_hold()))?;
        }
        Ok(())
    }
}

const fn micros_of(duration: Duration, least: u64) -> Result<u64, InFlightError> {
    // The length is compared before the cast, so that the cast cannot truncate it.
    let is_whole = duration.subsec_nanos().is_multiple_of(1_000);
    if !is_whole || duration.as_micros() > MAX_HOLD as u128 {
        return Err(InFlightError::Hold);
    }
    let micros = duration.as_micros() as u64;
    if micros < least { Err(InFlightError::Hold) } else { Ok(micros) }
}

/// The reason why a number is not valid for [`InFlight`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InFlightError {
    /// The number of requests is 0, so nobody could ever be admitted.
    #[error("{}", Self::ZeroLimit.text())]
    ZeroLimit,
    /// The time for which permits are held is outside its range.
    #[error("{}", Self::Hold.text())]
    Hold,
    /// The time after which clients are told to come again is outside its range.
    #[error("{}", Self::Retry.text())]
    Retry,
}

impl fmt::Debug for InFlightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

impl InFlightError {
    /// Returns the message of the error. Compile errors and errors at run time have the same
    /// message.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::ZeroLimit => "at least 1 request must be allowed in flight",
            Self::Hold => "permits must be held for 100 ms to one day, in whole microseconds",
            Self::Retry => {
                "clients must be told to come again after 1 ms to one day, in whole microseconds"
            }
        }
    }

    #[expect(clippy::panic, reason = "documented: a compile error in const context")]
    const fn panic(self) -> ! {
        panic!("{}", self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_whole_range_and_nothing_beyond() {
        assert_eq!(InFlight::try_new(0), Err(InFlightError::ZeroLimit));
        let (least, most) = (Duration::from_micros(MIN_HOLD), Duration::from_micros(MAX_HOLD));
        let nano = Duration::from_nanos(1);
        for (hold, is_valid) in [
            (least, true),
            (most, true),
            (least - Duration::from_micros(1), false),
            (most + Duration::from_micros(1), false),
            (Duration::ZERO, false),
            (Duration::MAX, false),
            (least + nano, false),
        ] {
            assert_eq!(InFlight::new(1).set_hold(hold).is_ok(), is_valid, "{hold:?}");
        }
    }

    #[test]
    fn wrong_numbers_panic() {
        let wrong: [fn() -> InFlight; 3] = [
            || InFlight::new(0),
            || InFlight::new(1).hold(Duration::ZERO),
            || InFlight::new(1).retry_after(Duration::ZERO),
        ];
        for in_flight in wrong {
            assert!(std::panic::catch_unwind(in_flight).is_err());
        }
    }

    #[test]
    fn the_shares_of_all_processes_are_at_least_the_whole() {
        for (limit, instances, share) in [(20, 4, 5), (20, 3, 7), (1, 50, 1), (20, 0, 20)] {
            assert_eq!(InFlight::new(limit).share(instances).limit(), share);
        }
    }
}
