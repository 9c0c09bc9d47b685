//! The true time, the timers that wait for it, and the clocks that show it wrongly.
//!
//! Nothing passes time but [`Timeline::drive`]: when no task has anything left to do, it goes to the
//! next timer. Timers of one instant end in the order in which they began, so a run depends on nothing
//! but its seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tollgate::Clock;

/// The wall time at which every run begins: midday (UTC) on 1 January 2026.
const START: u64 = 1_767_268_800_000_000;

/// The true time of a run, in microseconds since its begin. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Timeline {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    now: AtomicU64,
    timers: Mutex<Timers>,
    /// The driver, while it waits until nothing else has anything to do.
    idle: Mutex<Option<Waker>>,
}

#[derive(Default)]
struct Timers {
    /// The end of each timer, its number, and its place in `slots`.
    ends: BinaryHeap<Reverse<(u64, u64, usize)>>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    last_number: u64,
}

#[derive(Default)]
struct Slot {
    /// The number of the timer that is here; 0 if none is.
    number: u64,
    waker: Option<Waker>,
}

impl Timeline {
    pub(crate) fn now(&self) -> u64 {
        self.shared.now.load(Ordering::Relaxed)
    }

    /// Waits until it is `at`.
    pub(crate) fn until(&self, at: u64) -> Until {
        Until { timeline: self.clone(), at, place: None }
    }

    pub(crate) fn pass(&self, micros: u64) -> Until {
        self.until(self.now().saturating_add(micros))
    }

    /// Runs `main` in a runtime of one thread, with this time.
    pub(crate) fn run<T>(&self, main: impl Future<Output = T>) -> T {
        let idle = self.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .on_thread_park(move || {
                if let Some(driver) = idle.shared.idle.lock().unwrap().take() {
                    driver.wake();
                }
            })
            .build()
            .unwrap();
        let driver = self.clone();
        runtime.spawn(async move { driver.drive().await });
        runtime.block_on(main)
    }

    async fn drive(&self) {
        loop {
            let mut waits = false;
            poll_fn(|context| {
                if std::mem::replace(&mut waits, true) {
                    return Poll::Ready(());
                }
                *self.shared.idle.lock().unwrap() = Some(context.waker().clone());
                Poll::Pending
            })
            .await;
            let next = self.shared.timers.lock().unwrap().next();
            let Some((at, waker)) = next else { return };
            self.shared.now.store(at, Ordering::Relaxed);
            waker.wake();
        }
    }
}

impl Timers {
    /// Removes the next timer that somebody waits for.
    fn next(&mut self) -> Option<(u64, Waker)> {
        loop {
            let Reverse((at, number, place)) = self.ends.pop()?;
            let slot = &mut self.slots[place];
            if slot.number == number
                && let Some(waker) = slot.waker.take()
            {
                return Some((at, waker));
            }
        }
    }

    fn add(&mut self, at: u64, waker: Waker) -> usize {
        self.last_number += 1;
        let slot = Slot { number: self.last_number, waker: Some(waker) };
        let place = self.free.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(place) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        self.ends.push(Reverse((at, self.last_number, place)));
        place
    }

    fn remove(&mut self, place: usize) {
        self.slots[place] = Slot::default();
        self.free.push(place);
    }
}

/// The wait for an instant.
pub(crate) struct Until {
    timeline: Timeline,
    at: u64,
    place: Option<usize>,
}

impl Future for Until {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.timeline.now() >= self.at {
            return Poll::Ready(());
        }
        let mut timers = self.timeline.shared.timers.lock().unwrap();
        let waker = context.waker().clone();
        let place = match self.place {
            Some(place) => {
                timers.slots[place].waker = Some(waker);
                place
            }
            None => timers.add(self.at, waker),
        };
        drop(timers);
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Until {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.timeline.shared.timers.lock().unwrap().remove(place);
        }
    }
}

/// A clock that is wrong by `offset`, and runs too fast by so many millionths.
#[derive(Clone)]
pub(crate) struct DriftingClock {
    timeline: Timeline,
    offset: i64,
    drift: i64,
}

impl DriftingClock {
    pub(crate) fn new(timeline: Timeline, offset: i64, drift: i64) -> Self {
        Self { timeline, offset, drift }
    }

    /// The time that it shows when it is `at` in truth.
    pub(crate) fn shows(&self, at: u64) -> u64 {
        let gained = (at as i64 * self.drift).div_euclid(1_000_000) + self.offset;
        (START + at).saturating_add_signed(gained)
    }

    /// The first instant at which it shows `time` or later.
    fn instant_of(&self, time: u64) -> u64 {
        let elapsed = i128::from(time) - i128::from(START) - i128::from(self.offset);
        let about = elapsed * 1_000_000 / i128::from(1_000_000 + self.drift);
        let mut at = u64::try_from(about).unwrap_or(0);
        while at > 0 && self.shows(at - 1) >= time {
            at -= 1;
        }
        while self.shows(at) < time {
            at += 1;
        }
        at
    }
}

impl Clock for DriftingClock {
    fn now_micros(&self) -> u64 {
        self.shows(self.timeline.now())
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        // A sleep of years is one for ever.
        let until = self.now_micros().saturating_add(micros).min(START * 2);
        Box::pin(self.timeline.until(self.instant_of(until)))
    }
}
