//! Where the time comes from.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of time. Stores and guards read time through it and never otherwise, so a test
/// that holds the clock (see [`ManualClock`](crate::testing::ManualClock)) never sleeps.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since the Unix epoch.
    fn now_micros(&self) -> u64;

    /// Ends when `duration` has passed on this clock. By default that is tokio's time, so it
    /// has to be awaited inside a tokio runtime whose time is enabled.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now_micros(&self) -> u64 {
        (**self).now_micros()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        (**self).sleep(duration)
    }
}

/// The machine's clock: wall time when it was made, monotonic from there, so that setting
/// the machine's time neither refuses nor admits anybody.
///
/// It reads the processor's time stamp counter where that is a clock, which takes less than half
/// as long as asking the operating system.
#[derive(Clone, Debug)]
pub struct SystemClock {
    clock: quanta::Clock,
    /// What the counter showed at `epoch_micros`.
    started: u64,
    epoch_micros: u64,
    /// What one count of it takes, in 2⁻⁶⁴ µs.
    count_micros: u64,
}

impl SystemClock {
    /// A clock that starts at the machine's present wall time.
    #[must_use]
    pub fn new() -> Self {
        // A machine whose time is set before 1970 counts from 1970 instead.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let clock = quanta::Clock::new();
        let started = clock.raw();
        let nanos = clock.delta_as_nanos(0, COUNTS);
        // A count takes less than a microsecond, so this is less than 2⁶⁴.
        let count_micros = ((u128::from(nanos) << 64) / (1_000 * u128::from(COUNTS))) as u64;
        Self { clock, started, epoch_micros: since_epoch.as_micros() as u64, count_micros }
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
}

/// Over so many counts their length is taken: minutes, so that nothing is lost by rounding.
const COUNTS: u64 = 1 << 40;

/// Either the machine's clock, which is asked without a detour, or a user's.
pub(crate) enum Time {
    System(SystemClock),
    Of(Box<dyn Clock>),
}

impl Time {
    pub(crate) fn system() -> Self {
        Self::System(SystemClock::new())
    }

    pub(crate) fn of(clock: impl Clock) -> Self {
        Self::Of(Box::new(clock))
    }

    #[inline]
    pub(crate) fn now_micros(&self) -> u64 {
        match self {
            Self::System(clock) => clock.now_micros(),
            Self::Of(clock) => clock.now_micros(),
        }
    }
}

/// Returns the output of `future`, or `None` if `late` ends before it.
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
