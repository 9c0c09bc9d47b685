//! The exploration of a model: runs it under many schedules, and prints how many they were.
//!
//! The checker decides at each lock, atomic number and task of [`sync`](crate::sync) which thread goes on,
//! and finds threads that wait for each other for ever. It runs atomic numbers in one order for all threads,
//! so it does not see what weaker orders permit.

use std::any::type_name;
use std::env;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use shuttle::rand::{Rng as _, thread_rng};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler};
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::{Config, Runner, thread};

use crate::Clock;
use crate::testing::ManualClock;

/// The number of schedules that are drawn for each model.
const SCHEDULES: usize = 2_000;
/// A number that all schedules of a model are fewer than, if it is run under all that there are.
const MOST: usize = 200_000;
/// The number of times at which a schedule of the second kind takes the turn from a thread, and one.
const DEPTH: usize = 4;
/// The length of a pause that no pause reaches.
const PAUSE: u32 = 40;

fn schedules() -> usize {
    env::var("TOLLGATE_SCHEDULES").ok().and_then(|it| it.parse().ok()).unwrap_or(SCHEDULES)
}

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 512 * 1024;
    config
}

/// Runs a model under schedules that are drawn at random: half of them at each step, and half of them with
/// few changes of thread, which find what takes a long delay of one thread.
pub(crate) fn explore(model: impl Fn() + Copy + Send + Sync + 'static) {
    let half = schedules().div_ceil(2);
    let at_each_step = Runner::new(RandomScheduler::new(half), config()).run(model);
    let with_few_changes = Runner::new(PctScheduler::new(DEPTH, half), config()).run(model);
    print(&model, &format!("{} schedules at random", at_each_step + with_few_changes));
}

/// Runs a small model under all schedules that there are.
pub(crate) fn exhaust(model: impl Fn() + Copy + Send + Sync + 'static) {
    let run = Runner::new(DfsScheduler::new(Some(MOST), false), config()).run(model);
    assert!(run < MOST, "there are more than {MOST} schedules");
    print(&model, &format!("all of its {run} schedules"));
}

/// Lets the other threads go on for a number of steps that is drawn.
pub(crate) fn pause() {
    for _ in 0..thread_rng().gen_range(0..PAUSE) {
        thread::yield_now();
    }
}

fn print<M>(_: &M, explored: &str) {
    let name = type_name::<M>().trim_start_matches("tollgate::");
    println!("{}: {explored}", name.trim_end_matches("::{{closure}}"));
}

/// A clock that a model moves. To read it is a step, at which the turn may go to another thread.
#[derive(Clone)]
pub(crate) struct SteppedClock {
    clock: ManualClock,
    readings: Arc<AtomicU64>,
}

impl SteppedClock {
    pub(crate) fn new() -> Self {
        Self { clock: ManualClock::new(), readings: Arc::default() }
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.readings.fetch_add(1, Ordering::SeqCst);
        self.clock.advance(duration);
    }
}

impl Clock for SteppedClock {
    fn now_micros(&self) -> u64 {
        self.readings.fetch_add(1, Ordering::SeqCst);
        self.clock.now_micros()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.clock.sleep(duration)
    }
}
