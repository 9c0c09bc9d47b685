//! The lines in which callers wait: one for each subject of a policy. First come, first served.
//!
//! The first in a line asks the store. A place is notified when its caller has to look again: when
//! it becomes the first, and when something has happened in this process that may change the answer.
//! A notice that comes while the caller is busy is kept, so none is lost.

#[cfg(all(test, shuttle))]
mod models;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use hashbrown::HashTable;
use smol_str::SmolStr;

use super::gate::Gate;
use super::prospect::Ahead;
use crate::sync::{Mutex, MutexGuard};
use crate::{Check, Clock, Policy, Quota};

/// The lines of one limiter. A line without callers is removed.
pub(super) struct Queue {
    clock: Arc<dyn Clock>,
    gate: Gate,
    lines: Mutex<HashTable<Line>>,
}

/// The callers that wait for one key.
struct Line {
    hash: u64,
    policy: SmolStr,
    subject: SmolStr,
    /// The places by their numbers, which are in the order of arrival.
    places: BTreeMap<u64, Place>,
    next: u64,
    /// The total cost of all places.
    wanted: u64,
    /// The total cost of the checks that are being decided behind the line.
    passing: u64,
    /// The number of these checks.
    passing_callers: usize,
}

struct Place {
    cost: u32,
    /// The time at which the caller's patience ends, in microseconds of the queue's clock.
    until: u64,
    is_notified: bool,
    waker: Option<Waker>,
}

impl Place {
    /// Notifies the caller. Returns its waker, which is to be woken without the lock.
    fn notify(&mut self) -> Option<Waker> {
        self.is_notified = true;
        self.waker.take()
    }
}

impl Line {
    fn new(hash: u64, check: &Check<'_>) -> Self {
        let (policy, subject) = (check.policy.name_handle(), SmolStr::from(check.subject));
        let places = BTreeMap::new();
        Self { hash, policy, subject, places, next: 0, wanted: 0, passing: 0, passing_callers: 0 }
    }

    fn is_of(&self, check: &Check<'_>) -> bool {
        self.subject == check.subject && self.policy == check.policy.name()
    }

    fn notify_first(&mut self) -> Option<Waker> {
        self.places.first_entry()?.get_mut().notify()
    }

    /// Returns the places before `number`; `None` if that is the first. Those are left out that are
    /// about to leave: their patience has ended, or the policy can never admit their cost.
    fn ahead_of(&self, number: u64, policy: &Policy, now: u64) -> Option<Ahead> {
        self.places.range(..number).next()?;
        let most = policy.quotas().iter().map(Quota::capacity).min().unwrap_or(u32::MAX);
        let ahead = self.places.range(..number).map(|(_, place)| place);
        let ahead = ahead.filter(|place| place.cost <= most && place.until > now);
        let mut ahead = ahead.map(|place| place.cost);
        let units = ahead.clone().map(u64::from).sum();
        let callers = ahead.clone().count();
        Some(Ahead { units, callers, last: ahead.next_back().unwrap_or(0) })
    }

    fn ahead_of_newcomer(&self) -> Option<Ahead> {
        let (_, last) = self.places.last_key_value()?;
        let callers = self.places.len() + self.passing_callers;
        Some(Ahead { units: self.wanted + self.passing, callers, last: last.cost })
    }

    fn is_unused(&self) -> bool {
        self.places.is_empty() && self.passing_callers == 0
    }
}

impl Queue {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, gate: Gate::new(), lines: Mutex::default() }
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Returns the time `span` from now, in microseconds of the queue's clock. A time that cannot
    /// be represented becomes `u64::MAX`.
    pub(super) fn instant_in(&self, span: Duration) -> u64 {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.clock.now_micros().saturating_add(micros)
    }

    /// Returns the time from now to an instant; zero if it has passed.
    pub(super) fn until(&self, instant: u64) -> Duration {
        Duration::from_micros(instant.saturating_sub(self.clock.now_micros()))
    }

    /// Returns `true` if nobody waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.gate.is_open()
    }

    /// Returns the hash of a check's key; `None` if nobody waits for it.
    fn find(&self, check: &Check<'_>) -> Option<u64> {
        if self.gate.is_open() {
            return None;
        }
        let hash = self.gate.hash(check);
        self.gate.is_closed_for(hash).then_some(hash)
    }

    /// Returns those who wait for the key of a check; `None` if nobody does.
    pub(super) fn ahead_of(&self, check: &Check<'_>) -> Option<Ahead> {
        let hash = self.find(check)?;
        lock(&self.lines).find(hash, |line| line.is_of(check))?.ahead_of_newcomer()
    }

    /// Returns the passage of a check that is to be decided behind those who wait for its key;
    /// `None` if nobody does.
    pub(super) fn pass<'a>(&'a self, check: &Check<'a>) -> Option<Passage<'a>> {
        let hash = self.find(check)?;
        let mut lines = lock(&self.lines);
        let line = lines.find_mut(hash, |line| line.is_of(check))?;
        let ahead = line.ahead_of_newcomer()?;
        line.passing += u64::from(check.cost);
        line.passing_callers += 1;
        Some(Passage { queue: self, check: *check, hash, ahead })
    }

    /// Notifies the first of those who wait for the key of a check.
    pub(super) fn notify_first(&self, check: &Check<'_>) {
        let Some(hash) = self.find(check) else { return };
        let mut lines = lock(&self.lines);
        let first = lines.find_mut(hash, |line| line.is_of(check)).and_then(Line::notify_first);
        drop(lines);
        first.into_iter().for_each(Waker::wake);
    }

    /// Notifies all who wait.
    pub(super) fn notify_all(&self) {
        if self.gate.is_open() {
            return;
        }
        let mut lines = lock(&self.lines);
        let places = lines.iter_mut().flat_map(|line| line.places.values_mut());
        let wakers: Vec<Waker> = places.filter_map(Place::notify).collect();
        drop(lines);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Joins the end of the line, at the latest until an instant of the queue's clock.
    pub(super) fn join<'a>(&'a self, check: &Check<'a>, until: u64) -> PlaceInLine<'a> {
        let hash = self.gate.hash(check);
        let mut lines = lock(&self.lines);
        if lines.find(hash, |line| line.is_of(check)).is_none() {
            self.gate.add(hash);
        }
        let is_it = |line: &Line| line.is_of(check);
        let mut entry =
            lines.entry(hash, is_it, |line| line.hash).or_insert_with(|| Line::new(hash, check));
        let line = entry.get_mut();
        let number = line.next;
        line.next += 1;
        line.wanted += u64::from(check.cost);
        let place = Place { cost: check.cost, until, is_notified: false, waker: None };
        line.places.insert(number, place);
        PlaceInLine { queue: self, check: *check, hash, number }
    }
}

/// A caller's place in a line. The caller leaves the line when this is dropped, and the next is
/// notified if this was the first.
pub(super) struct PlaceInLine<'a> {
    queue: &'a Queue,
    check: Check<'a>,
    hash: u64,
    number: u64,
}

impl PlaceInLine<'_> {
    /// Takes the notice, if there is one, and returns the places before this one, as `policy` counts
    /// them; `None` if this is the first.
    pub(super) fn look(&self, policy: &Policy) -> Option<Ahead> {
        let now = self.queue.clock.now_micros();
        let mut lines = lock(&self.queue.lines);
        let line = lines.find_mut(self.hash, |line| line.is_of(&self.check))?;
        if let Some(place) = line.places.get_mut(&self.number) {
            place.is_notified = false;
        }
        line.ahead_of(self.number, policy, now)
    }

    /// Waits until this place is notified.
    pub(super) async fn notified(&self) {
        poll_fn(|context| {
            let mut lines = lock(&self.queue.lines);
            let line = lines.find_mut(self.hash, |line| line.is_of(&self.check));
            let place = line.and_then(|line| line.places.get_mut(&self.number));
            match place {
                Some(place) if !place.is_notified => {
                    place.waker = Some(context.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
    }
}

impl Drop for PlaceInLine<'_> {
    fn drop(&mut self) {
        let mut lines = lock(&self.queue.lines);
        let Ok(mut entry) = lines.find_entry(self.hash, |line| line.is_of(&self.check)) else {
            return;
        };
        let line = entry.get_mut();
        let was_first = line.places.first_key_value().is_some_and(|(at, _)| *at == self.number);
        if line.places.remove(&self.number).is_some() {
            line.wanted -= u64::from(self.check.cost);
        }
        let next = if was_first { line.notify_first() } else { None };
        if line.is_unused() {
            drop(entry.remove());
            self.queue.gate.remove(self.hash);
        }
        drop(lines);
        next.into_iter().for_each(Waker::wake);
    }
}

/// The passage of a check behind a line, from the question whether there is room behind it to the
/// charge. Other checks count it meanwhile, so that together they take no more than there is.
pub(super) struct Passage<'a> {
    queue: &'a Queue,
    check: Check<'a>,
    hash: u64,
    pub(super) ahead: Ahead,
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let mut lines = lock(&self.queue.lines);
        let Ok(mut entry) = lines.find_entry(self.hash, |line| line.is_of(&self.check)) else {
            return;
        };
        let line = entry.get_mut();
        line.passing -= u64::from(self.check.cost);
        line.passing_callers -= 1;
        if line.is_unused() {
            drop(entry.remove());
            self.queue.gate.remove(self.hash);
        }
    }
}

/// Locks the mutex and ignores poisoning: no panic can leave the lines half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Context;

    use super::*;
    use crate::testing::ManualClock;

    /// Of a thousand in line any may leave at any time, and then nothing is left of them.
    #[test]
    fn nothing_is_left_of_those_who_have_left() {
        let queue = Queue::new(Arc::new(ManualClock::new()));
        let policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));
        let check = Check::new(&policy, "s", 2);
        let mut places: Vec<_> = (0..1_000).map(|_| queue.join(&check, u64::MAX)).collect();
        assert!(!queue.is_empty());
        assert_eq!(queue.ahead_of(&check), Some(Ahead { units: 2_000, callers: 1_000, last: 2 }));
        assert_eq!(queue.ahead_of(&Check::new(&policy, "t", 2)), None);
        while !places.is_empty() {
            drop(places.remove(places.len() * 5 / 7));
            if !places.is_empty() {
                drop(places.remove(0));
            }
            if let Some(first) = places.first() {
                assert_eq!(first.look(&policy), None);
            }
        }
        assert!(queue.is_empty() && lock(&queue.lines).is_empty());
    }

    #[test]
    fn checks_behind_a_line_count_each_other_and_keep_it_known() {
        let queue = Queue::new(Arc::new(ManualClock::new()));
        let policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));
        let check = Check::new(&policy, "s", 2);
        assert!(queue.pass(&check).is_none());
        let place = queue.join(&check, u64::MAX);
        let passages = [queue.pass(&check), queue.pass(&check)].map(Option::unwrap);
        assert_eq!(passages.each_ref().map(|passage| passage.ahead.units), [2, 4]);
        drop(place);
        assert!(queue.pass(&check).is_none() && !queue.is_empty());
        drop(queue.join(&check, u64::MAX));
        assert!(!queue.is_empty());
        drop(passages);
        assert!(queue.is_empty() && lock(&queue.lines).is_empty());
    }

    #[test]
    fn a_notice_is_kept_until_it_is_taken() {
        let queue = Queue::new(Arc::new(ManualClock::new()));
        let policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));
        let check = Check::new(&policy, "s", 1);
        let (first, second) = (queue.join(&check, u64::MAX), queue.join(&check, u64::MAX));
        let is_notified = |place: &PlaceInLine<'_>| {
            pin!(place.notified()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        assert!(!is_notified(&first) && !is_notified(&second));
        queue.notify_first(&check);
        assert!(is_notified(&first) && !is_notified(&second));
        first.look(&policy);
        assert!(!is_notified(&first));
        queue.notify_all();
        assert!(is_notified(&first) && is_notified(&second));
        assert_eq!(second.look(&policy), Some(Ahead { units: 1, callers: 1, last: 1 }));
        drop(first);
        assert!(is_notified(&second));
    }
}
