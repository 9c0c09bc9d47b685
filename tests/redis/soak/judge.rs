//! Somebody who stands outside: by the times at which callers asked and were answered, and nothing
//! that a limiter says of itself, the judge knows when more than the limit got through.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is written on a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// At most so many units in any window of this length.
    pub(crate) units: u64,
    pub(crate) window: Duration,
}

/// One admission. The store decided at some time between the two.
#[derive(Clone, Copy, Debug)]
struct Admission {
    asked: Instant,
    answered: Instant,
    units: u64,
}

/// The admissions of one limit, and what is held of it at the same time.
#[derive(Default)]
struct Seen {
    by_subject: HashMap<u64, VecDeque<Admission>>,
    held: HashMap<u64, u64>,
}

/// The counts of one kind of request.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) admitted: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// The store could not be asked, and the limit is closed.
    pub(crate) unknown: AtomicU64,
    pub(crate) given_up: AtomicU64,
}

/// The judge of one limit.
pub(crate) struct Judge {
    pub(crate) name: &'static str,
    promise: Promise,
    seen: Mutex<Seen>,
    /// Whoever was counted before this time was forgotten by the store.
    since: Mutex<(u64, Instant)>,
    pub(crate) counts: Counts,
    pub(crate) violations: Mutex<Vec<String>>,
    /// The most units that were seen in one window.
    pub(crate) most: AtomicU64,
}

impl Judge {
    pub(crate) fn new(name: &'static str, units: u64, window: Duration) -> Self {
        Self {
            name,
            promise: Promise { units, window },
            seen: Mutex::default(),
            since: Mutex::new((0, Instant::now())),
            counts: Counts::default(),
            violations: Mutex::default(),
            most: AtomicU64::new(0),
        }
    }

    /// Returns the number of times that the store has lost what it counted; `None` while it does.
    pub(crate) fn losses(&self) -> Option<u64> {
        let (losses, since) = *self.since.lock().unwrap();
        (since <= Instant::now()).then_some(losses)
    }

    /// Notes that the store is about to lose all that it counts.
    pub(crate) fn loses(&self) {
        let mut since = self.since.lock().unwrap();
        *since = (since.0 + 1, Instant::now() + Duration::from_secs(86_400));
        *self.seen.lock().unwrap() = Seen::default();
    }

    /// Notes that the store has lost it.
    pub(crate) fn lost(&self) {
        self.since.lock().unwrap().1 = Instant::now();
    }

    pub(crate) fn violated(&self, what: String) {
        eprintln!("{}: {what}", self.name);
        self.violations.lock().unwrap().push(what);
    }

    /// Notes an admission, and judges the windows that begin with one and hold this one.
    pub(crate) fn admitted(&self, subject: u64, asked: Instant, units: u64) {
        let answered = Instant::now();
        let since = self.since.lock().unwrap();
        if asked < since.1 {
            return;
        }
        let mut seen = self.seen.lock().unwrap();
        let admissions = seen.by_subject.entry(subject).or_default();
        admissions.push_back(Admission { asked, answered, units });
        let Promise { units: limit, window } = self.promise;
        // What ended long before can share no window with an admission that is still to be noted.
        while admissions.front().is_some_and(|first| first.answered + 2 * window < asked) {
            admissions.pop_front();
        }
        let mut worst = 0;
        for first in admissions.iter() {
            let within =
                |it: &&Admission| it.asked >= first.asked && it.answered <= first.asked + window;
            worst = worst.max(admissions.iter().filter(within).map(|it| it.units).sum::<u64>());
        }
        drop((seen, since));
        self.most.fetch_max(worst, Ordering::Relaxed);
        if worst > limit {
            self.violated(format!("subject {subject}: {worst} of {limit} in {window:?}"));
        }
    }

    /// Notes the permit of a request, and returns what [`Self::released`] wants to know.
    pub(crate) fn taken(&self, subject: u64, asked: Instant) -> u64 {
        let since = self.since.lock().unwrap();
        if asked < since.1 {
            return u64::MAX;
        }
        let mut seen = self.seen.lock().unwrap();
        let held = seen.held.entry(subject).or_default();
        *held += 1;
        let held = *held;
        drop(seen);
        self.most.fetch_max(held, Ordering::Relaxed);
        if held > self.promise.units {
            self.violated(format!("subject {subject}: {held} of {} at a time", self.promise.units));
        }
        since.0
    }

    /// Notes that a permit is about to be released.
    pub(crate) fn released(&self, subject: u64, taken: u64) {
        let since = self.since.lock().unwrap();
        if taken == since.0 {
            let mut seen = self.seen.lock().unwrap();
            *seen.held.get_mut(&subject).unwrap() -= 1;
        }
    }
}
