//! Sources of time.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of time. Stores and guards read the time in no other way, so a test that moves the
/// clock itself (see [`ManualClock`](crate::testing::ManualClock)) never sleeps.
pub trait Clock: Send + Sync + 'static {
    /// Returns the time in microseconds since the Unix epoch.
    fn now_micros(&self) -> u64;

    /// Waits until `duration` has passed on this clock. The default implementation waits by tokio's
    /// time, so it has to be awaited inside a tokio runtime whose time is enabled.
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

/// The machine's clock: it starts at the wall time of its creation and is monotonic from there, so
/// that a change of the machine's time neither admits nor refuses a request.
///
/// It reads the processor's time stamp counter if that runs at a constant rate, which takes less
/// than half as long as asking the operating system.
#[derive(Clone, Debug)]
pub struct SystemClock {
    clock: quanta::Clock,
    /// The value of the counter at `epoch_micros`.
    started: u64,
    epoch_micros: u64,
    /// The length of one count, in 2⁻⁶⁴ µs.
    count_micros: u64,
}

impl SystemClock {
    /// Creates a clock that starts at the machine's present wall time.
    #[must_use]
    pub fn new() -> Self {
        // On a machine whose time is set before 1970, the clock starts at 1970.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let clock = quanta::Clock::new();
        let started = clock.raw();
        let nanos = clock.delta_as_nanos(0, COUNTS);
        // Less than 2⁶⁴, because a count takes less than a microsecond.
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

/// The number of counts over which their length is measured: minutes, so that rounding loses
/// nothing.
const COUNTS: u64 = 1 << 40;

/// The machine's clock, which is read without dynamic dispatch, or a user's.
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
