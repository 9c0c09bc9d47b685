//! Models of the circuit breaker: the probe, and the operations that end while it opens and closes.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use shuttle::thread;

use super::*;
use crate::exploration::{SteppedClock, exhaust, explore};

const SECOND: Duration = Duration::from_secs(1);

/// Returns a circuit that a failure has opened, and whose probe is due.
fn due() -> (Circuit, SteppedClock) {
    let clock = SteppedClock::new();
    let circuit = Circuit::new(CircuitBreaker::new().failure_threshold(1), Arc::new(clock.clone()));
    circuit.enter().unwrap().report(Sign::Unwell, None);
    clock.advance(SECOND);
    (circuit, clock)
}

// The ends of an operation.

fn well(pass: Pass<'_>) {
    pass.report(Sign::Well, None);
}

fn unwell(pass: Pass<'_>) {
    pass.report(Sign::Unwell, None);
}

fn dropped(pass: Pass<'_>) {
    drop(pass);
}

fn unused(pass: Pass<'_>) {
    pass.give_back();
}

/// Asks as the probe, if it may, and ends as `end` says. Asserts that it is the only probe meanwhile.
fn probe(circuit: &Circuit, probing: &AtomicU32, end: fn(Pass<'_>)) {
    if let Ok(pass) = circuit.enter() {
        let is_probe = pass.probe.is_some();
        assert!(!is_probe || probing.fetch_add(1, Ordering::Relaxed) == 0, "one at a time");
        thread::yield_now();
        probing.fetch_sub(is_probe.into(), Ordering::Relaxed);
        end(pass);
    }
}

/// Several threads ask when the probe is due. None of their ends leaves its place taken.
fn one_probe_at_a_time(ends: &[fn(Pass<'_>)]) {
    let ((circuit, clock), probing) = (due(), AtomicU32::new(0));
    thread::scope(|scope| {
        for end in ends {
            let (circuit, probing) = (&circuit, &probing);
            scope.spawn(move || probe(circuit, probing, *end));
        }
    });
    assert_ne!(circuit.stats().state, BreakerState::HalfOpen);
    clock.advance(SECOND * 60);
    assert!(circuit.enter().is_ok(), "the next probe is due, or the breaker is closed");
}

#[test]
fn of_two_threads_one_probes() {
    exhaust(|| one_probe_at_a_time(&[well, unused]));
    exhaust(|| one_probe_at_a_time(&[dropped, unwell]));
}

#[test]
fn of_four_threads_one_probes() {
    explore(|| one_probe_at_a_time(&[unused, dropped, well, unwell]));
}

/// A place that was given back is taken by the next who asks.
#[test]
fn a_probe_that_does_not_ask_is_made_by_another() {
    explore(|| {
        let ((circuit, _clock), probing) = (due(), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| probe(&circuit, &probing, unused));
            }
        });
        probe(&circuit, &probing, well);
        assert_eq!(circuit.stats().state, BreakerState::Closed);
    });
}

/// The numbers of failures and successes that were reported of the operations of each epoch.
#[derive(Default)]
struct Reported(Mutex<BTreeMap<u64, (u32, u32)>>);

impl Reported {
    fn report(&self, pass: Pass<'_>, sign: Sign) {
        if pass.probe.is_none() {
            let mut reported = self.0.lock().unwrap();
            let (failures, successes) = reported.entry(pass.epoch).or_default();
            *failures += u32::from(sign == Sign::Unwell);
            *successes += u32::from(sign == Sign::Well);
        }
        pass.report(sign, None);
    }
}

/// Operations of several threads, each of which begins when the one before it in its thread has ended. None
/// of them counts in another state than that in which it began, however late its answer is.
fn late_answers_change_nothing(threads: &'static [&'static [Sign]]) {
    let clock = SteppedClock::new();
    let settings = CircuitBreaker::new().failure_threshold(2);
    let circuit = Circuit::new(settings, Arc::new(clock.clone()));
    let reported = Reported::default();
    thread::scope(|scope| {
        for signs in threads {
            let (circuit, clock, reported) = (&circuit, &clock, &reported);
            scope.spawn(move || {
                for sign in *signs {
                    match circuit.enter() {
                        Ok(pass) => reported.report(pass, *sign),
                        Err(_) => clock.advance(SECOND),
                    }
                }
            });
        }
    });
    let (stats, reported) = (circuit.stats(), reported.0.into_inner().unwrap());
    let enough = reported.values().filter(|(failures, _)| *failures >= 2).count();
    assert!(stats.opened <= enough as u64, "{} times by {reported:?}", stats.opened);
    if stats.state == BreakerState::Closed {
        let epoch = circuit.epoch.load(Ordering::Relaxed);
        let (failures, successes) = reported.get(&epoch).copied().unwrap_or_default();
        let is_in_row = stats.failures == failures || successes > 0;
        assert!(is_in_row && stats.failures <= failures, "{stats:?} by {reported:?}");
    }
}

/// One thread opens the breaker, waits, closes it and fails again, while the other one has its answer.
#[test]
fn a_late_answer_of_one_changes_nothing() {
    use Sign::{Unwell, Well};
    explore(|| late_answers_change_nothing(&[&[Unwell, Unwell, Well, Well, Unwell], &[Well]]));
    explore(|| late_answers_change_nothing(&[&[Unwell, Unwell, Well, Well, Unwell], &[Unwell]]));
}

#[test]
fn late_answers_of_several_change_nothing() {
    use Sign::{Unwell, Well};
    explore(|| {
        late_answers_change_nothing(&[
            &[Unwell],
            &[Unwell],
            &[Unwell],
            &[Well],
            &[Well, Well, Unwell],
        ]);
    });
}
