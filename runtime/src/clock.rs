//! Sources of time.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of time. Stores and guards read the time only from their clock. So a test can set the
/// time itself (see [`ManualClock`](crate::testing::ManualClock)), and never sleeps.
pub trait Clock: Send + Sync + 'static {
    /// Returns the time in microseconds since the Unix epoch.
    fn now_micros(&self) -> u64;

    /// Returns the wall time in microseconds since the Unix epoch, which may jump. No decision
    /// depends on it. It is for times that clients compare with their own, such as that in
    /// `X-RateLimit-Reset`. The default implementation returns [`now_micros`](Self::now_micros).
    fn wall_micros(&self) -> u64 {
        self.now_micros()
    }

    /// Waits until `duration` has passed on this clock. The default implementation uses
    /// [`tokio::time::sleep`], so it has to be awaited in a tokio runtime whose time driver is
    /// enabled.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now_micros(&self) -> u64 {
        (**self).now_micros()
    }

    fn wall_micros(&self) -> u64 {
        (**self).wall_micros()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        (**self).sleep(duration)
    }
}

/// The machine's clock. It starts at the wall time of its creation and is monotonic from then on,
/// so that a change of the machine's time neither admits nor refuses a request. Only the
/// [wall time](Clock::wall_micros) follows such a change.
///
/// If the processor's time stamp counter runs at a constant rate, the clock reads that counter.
/// This takes less than half the time of a call to the operating system.
#[derive(Clone, Debug)]
pub struct SystemClock {
    clock: quanta::Clock,
    /// The value of the counter when the clock was created.
    started: u64,
    /// The wall time when the clock was created, in microseconds since the Unix epoch.
    epoch_micros: u64,
    /// The time between two counts of the counter, in units of 2⁻⁶⁴ µs.
    count_micros: u64,
}

impl SystemClock {
    /// Creates a clock that starts at the machine's present wall time.
    #[must_use]
    pub fn new() -> Self {
        let clock = quanta::Clock::new();
        let started = clock.raw();
        let nanos = clock.delta_as_nanos(0, COUNTS);
        // The result is less than 2⁶⁴, because a count takes less than a microsecond.
        let count_micros = ((u128::from(nanos) << 64) / (1_000 * u128::from(COUNTS))) as u64;
        Self { clock, started, epoch_micros: wall_micros(), count_micros }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[inline]
    fn now_micros(&self) -> u64 {
        let counts = self.clock.raw().saturating_sub(self.started);
        let micros = (u128::from(counts) * u128::from(self.count_micros)) >> 64;
        self.epoch_micros + micros as u64
    }

    fn wall_micros(&self) -> u64 {
        wall_micros()
    }
}

/// Returns the machine's wall time in microseconds since the Unix epoch; 0 if it is before 1970.
fn wall_micros() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_micros() as u64
}

/// The number of counts from whose total length the length of one count is computed. They take
/// minutes, so that the rounding to nanoseconds has no effect.
const COUNTS: u64 = 1 << 40;

/// A clock: the machine's, which is read without dynamic dispatch, or one that the user has given.
pub(crate) enum Time {
    System(SystemClock),
    Of(Arc<dyn Clock>),
}

impl Time {
    pub(crate) fn system() -> Self {
        Self::System(SystemClock::new())
    }

    pub(crate) fn of(clock: impl Clock) -> Self {
        Self::Of(Arc::new(clock))
    }

    /// Returns the clock as a shared trait object.
    #[cfg(feature = "axum")]
    pub(crate) fn to_shared(&self) -> Arc<dyn Clock> {
        match self {
            Self::System(clock) => Arc::new(clock.clone()),
            Self::Of(clock) => Arc::clone(clock),
        }
    }

    #[inline]
    pub(crate) fn now_micros(&self) -> u64 {
        match self {
            Self::System(clock) => clock.now_micros(),
            Self::Of(clock) => clock.now_micros(),
        }
    }
}

/// Returns the output of `future`, or `None` if `late` completes before it.
pub(crate) async fn first_of<T>(
    future: impl Future<Output = T>,
    late: impl Future<Output = ()>,
) -> Option<T> {
    let (mut future, mut late) = (pin!(future), pin!(late));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => late.as_mut().poll(context).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_time_is_read_anew_each_time() {
        let mut clock = SystemClock::new();
        // The machine's time has been corrected since the clock was created.
        clock.epoch_micros -= 3_600_000_000;
        let before = wall_micros();
        let (wall, now) = (clock.wall_micros(), clock.now_micros());
        assert!((before..=wall_micros()).contains(&wall));
        assert!(now < before);
        let shared: Arc<dyn Clock> = Arc::new(clock);
        assert!(Arc::new(shared).wall_micros() >= wall);
    }
}
