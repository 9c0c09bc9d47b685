#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics fails, as it should")]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::state::Pass;
use super::*;
use crate::Clock as _;
use crate::stats::BreakerState;
use crate::testing::ManualClock;

const SECOND: Duration = Duration::from_secs(1);

fn circuit(settings: CircuitBreaker) -> (Circuit, ManualClock) {
    let clock = ManualClock::new();
    (Circuit::new(settings, Arc::new(clock.clone())), clock)
}

/// Returns the time until the next probe; `None` if the backend may be asked.
fn stopped_for(circuit: &Circuit) -> Option<Duration> {
    circuit.enter().map(Pass::give_back).err()
}

fn report(circuit: &Circuit, sign: Sign) {
    circuit.enter().unwrap_or_else(|left| panic!("it is open for {left:?}")).report(sign, None);
}

/// Moves the clock to just before the next probe, and then to the time of the probe.
fn wait_for_probe(circuit: &Circuit, clock: &ManualClock) {
    let left = stopped_for(circuit).unwrap();
    wait(circuit, clock, left);
}

fn wait(circuit: &Circuit, clock: &ManualClock, left: Duration) {
    clock.advance(left - Duration::from_micros(1));
    assert!(circuit.enter().is_err(), "not one microsecond before");
    clock.advance(Duration::from_micros(1));
    assert!(stopped_for(circuit).is_none());
}

#[test]
fn every_state_and_every_sign() {
    use BreakerState::{Closed, HalfOpen, Open};
    // The state that follows each state and sign. Two failures open the breaker.
    for (from, sign, to) in [
        (Closed, Sign::Well, Closed),
        (Closed, Sign::None, Closed),
        (Closed, Sign::Unwell, Open),
        (HalfOpen, Sign::Well, Closed),
        (HalfOpen, Sign::None, Open),
        (HalfOpen, Sign::Unwell, Open),
    ] {
        let (circuit, clock) = circuit(CircuitBreaker::new().failure_threshold(2));
        report(&circuit, Sign::Unwell);
        let state = || circuit.stats().state;
        if from == HalfOpen {
            report(&circuit, Sign::Unwell);
            assert_eq!(state(), Open);
            wait_for_probe(&circuit, &clock);
            assert_eq!(state(), Open, "until somebody tries");
            let probe = circuit.enter().unwrap_or_else(|_| panic!("it is due"));
            assert_eq!(state(), HalfOpen);
            assert_eq!(stopped_for(&circuit), Some(Duration::ZERO), "one at a time");
            probe.report(sign, None);
        } else {
            report(&circuit, sign);
        }
        assert_eq!(state(), to, "{from:?} {sign:?}");
    }
}

#[test]
fn only_failures_in_a_row_open_it() {
    let (circuit, _clock) = circuit(CircuitBreaker::new());
    for _ in 0..4 {
        report(&circuit, Sign::Unwell);
    }
    report(&circuit, Sign::Well);
    for _ in 0..4 {
        report(&circuit, Sign::Unwell);
        // No evidence: the result neither counts as a failure nor ends the row of failures.
        report(&circuit, Sign::None);
    }
    assert_eq!(circuit.stats().state, BreakerState::Closed);
    report(&circuit, Sign::Unwell);
    assert_eq!(circuit.stats().state, BreakerState::Open);
    assert_eq!(circuit.stats().opened, 1);
}

#[test]
fn it_stays_open_twice_as_long_each_time_and_never_longer_than_the_longest() {
    let mut spans = Vec::new();
    for _ in 0..20 {
        let (circuit, clock) = circuit(CircuitBreaker::new().failure_threshold(1));
        report(&circuit, Sign::Unwell);
        for probe in 0..10 {
            let longest = SECOND * 2_u32.pow(probe).min(60);
            let left = stopped_for(&circuit).unwrap();
            assert!(left >= longest / 2 && left <= longest, "probe {probe}: {left:?}");
            spans.push(left.as_secs_f64() / longest.as_secs_f64());
            wait_for_probe(&circuit, &clock);
            report(&circuit, Sign::Unwell);
        }
        let stats = circuit.stats();
        assert_eq!((stats.probes, stats.opened), (10, 1));
        // Once the breaker has closed, the timeouts start again with the shortest one.
        wait_for_probe(&circuit, &clock);
        report(&circuit, Sign::Well);
        report(&circuit, Sign::Unwell);
        assert!(stopped_for(&circuit).unwrap() <= SECOND);
    }
    // The times are spread over the second half of the timeout: 200 of them reach both its ends.
    let (least, most) =
        (spans.iter().copied().fold(1.0, f64::min), spans.iter().copied().fold(0.0, f64::max));
    assert!(least < 0.55 && most > 0.95, "from {least} to {most}");
}

#[test]
fn by_a_seed_the_times_are_the_same_again() {
    let times = |seed| {
        let settings = CircuitBreaker::new().failure_threshold(1).seed(seed);
        let (circuit, clock) = circuit(settings);
        report(&circuit, Sign::Unwell);
        let mut times = Vec::new();
        for _ in 0..10 {
            times.push(stopped_for(&circuit).unwrap());
            wait_for_probe(&circuit, &clock);
            report(&circuit, Sign::Unwell);
        }
        times
    };
    assert_eq!(times(7), times(7));
    assert_ne!(times(7), times(8));
}

#[test]
fn a_probe_that_is_dropped_is_followed_by_another() {
    let (circuit, clock) = circuit(CircuitBreaker::new().failure_threshold(1));
    report(&circuit, Sign::Unwell);
    for _ in 0..5 {
        wait_for_probe(&circuit, &clock);
        drop(circuit.enter());
        // The dropped probe was no evidence, so the timeout does not grow.
        assert!(stopped_for(&circuit).unwrap() <= SECOND);
    }
    wait_for_probe(&circuit, &clock);
    report(&circuit, Sign::Well);
    assert_eq!(circuit.stats().state, BreakerState::Closed);
}

#[test]
fn a_probe_that_is_never_heard_of_is_given_up() {
    let (circuit, clock) = circuit(CircuitBreaker::new().failure_threshold(1));
    report(&circuit, Sign::Unwell);
    wait_for_probe(&circuit, &clock);
    let lost = circuit.enter().unwrap_or_else(|_| panic!("it is due"));
    wait(&circuit, &clock, SECOND * 60);
    let probe = circuit.enter().unwrap_or_else(|_| panic!("it is due"));
    // The late report of the lost probe is not taken for the result of the present probe.
    lost.report(Sign::Well, None);
    assert_eq!(circuit.stats().state, BreakerState::HalfOpen);
    probe.report(Sign::Unwell, None);
    assert_eq!(circuit.stats().state, BreakerState::Open);
}

#[test]
fn an_answer_from_before_changes_nothing() {
    let (circuit, clock) = circuit(CircuitBreaker::new().failure_threshold(1));
    let pass = || circuit.enter().unwrap_or_else(|left| panic!("it is open for {left:?}"));
    let [early, late, later] = [pass(), pass(), pass()];
    report(&circuit, Sign::Unwell);
    early.report(Sign::Well, None);
    assert_eq!(circuit.stats().state, BreakerState::Open, "a success does not close it");
    late.report(Sign::Unwell, None);
    assert_eq!(circuit.stats().opened, 1, "a failure does not open it again");
    wait_for_probe(&circuit, &clock);
    report(&circuit, Sign::Well);
    later.report(Sign::Unwell, None);
    assert_eq!(circuit.stats().state, BreakerState::Closed, "nor when it is closed");
}

#[test]
fn a_clock_that_goes_back_does_not_keep_it_open() {
    let (circuit, clock) = circuit(CircuitBreaker::new().failure_threshold(1));
    report(&circuit, Sign::Unwell);
    clock.set_micros(clock.now_micros() - 86_400_000_000);
    report(&circuit, Sign::Well);
    assert_eq!(circuit.stats().state, BreakerState::Closed);
}

/// An event in the life of a breaker. An index selects one of the operations in progress.
#[derive(Clone, Copy, Debug)]
enum Event {
    Enter,
    Report(usize, Sign),
    Drop(usize),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let sign = prop_oneof![3 => Just(Sign::Unwell), 2 => Just(Sign::Well), 1 => Just(Sign::None)];
    prop_oneof![
        4 => Just(Event::Enter),
        4 => (any::<usize>(), sign).prop_map(|(call, sign)| Event::Report(call, sign)),
        1 => any::<usize>().prop_map(Event::Drop),
        2 => (0_u64..3_000_000).prop_map(Event::Pass),
    ]
}

/// The reference: the number of times that the breaker opened or closed, the failures in a row
/// since then, and the number of the present probe.
struct Model {
    changes: u64,
    row: u32,
    /// The time until the next probe is due, or until the present one is given up, as reported by
    /// the breaker; `None` while the breaker is closed.
    until: Option<Duration>,
    probe: Option<u64>,
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(events in prop::collection::vec(event(), 1..200)) {
        let (circuit, clock) = circuit(CircuitBreaker::new().failure_threshold(3));
        let mut model = Model { changes: 0, row: 0, until: None, probe: None };
        let mut calls: Vec<(Pass<'_>, u64, Option<u64>)> = Vec::new();
        let mut number = 0;
        for event in events {
            match event {
                Event::Pass(micros) => {
                    clock.advance(Duration::from_micros(micros));
                    model.until = model.until.map(|left| left.saturating_sub(Duration::from_micros(micros)));
                }
                Event::Enter => match (circuit.enter(), model.until) {
                    (Ok(pass), None) => calls.push((pass, model.changes, None)),
                    (Ok(pass), Some(left)) => {
                        prop_assert_eq!(left, Duration::ZERO);
                        number += 1;
                        model.probe = Some(number);
                        model.until = Some(SECOND * 60);
                        calls.push((pass, model.changes, Some(number)));
                    }
                    (Err(left), Some(until)) => {
                        prop_assert!(until > Duration::ZERO);
                        let expected = if model.probe.is_some() { Duration::ZERO } else { until };
                        prop_assert_eq!(left, expected);
                    }
                    (Err(_), None) => prop_assert!(false, "it is closed"),
                },
                Event::Report(..) | Event::Drop(_) if calls.is_empty() => {}
                Event::Report(call, _) | Event::Drop(call) => {
                    let (pass, since, probe) = calls.remove(call % calls.len());
                    let sign = if let Event::Report(_, sign) = event { sign } else { Sign::None };
                    if let Event::Drop(_) = event { drop(pass) } else { pass.report(sign, None) }
                    if probe.is_some() && probe == model.probe {
                        model.probe = None;
                        if sign == Sign::Well {
                            (model.changes, model.row, model.until) = (model.changes + 1, 0, None);
                        } else {
                            model.until = stopped_for(&circuit);
                            prop_assert!(model.until.is_some());
                        }
                    } else if probe.is_none() && since == model.changes {
                        match sign {
                            Sign::Well => model.row = 0,
                            Sign::Unwell => model.row += 1,
                            Sign::None => {}
                        }
                        if model.row == 3 {
                            model.changes += 1;
                            model.until = stopped_for(&circuit);
                            prop_assert!(model.until.is_some());
                        }
                    }
                }
            }
            let state = match (model.until, model.probe) {
                (None, _) => BreakerState::Closed,
                (Some(_), None) => BreakerState::Open,
                (Some(_), Some(_)) => BreakerState::HalfOpen,
            };
            prop_assert_eq!(circuit.stats().state, state);
        }
    }
}

#[test]
fn the_figures_are_those_of_all_servers() {
    let (circuit, clock) = circuit(CircuitBreaker::new().failure_threshold(1));
    let circuit = Arc::new(circuit);
    let servers = [1, 2].map(|server| circuit.of_server(server));
    for server in &servers {
        report(server, Sign::Unwell);
        assert!(server.enter().is_err());
    }
    clock.advance(Duration::from_secs(3_600));
    for server in &servers {
        report(server, Sign::Unwell);
    }
    let stats = circuit.stats();
    assert_eq!((stats.opened, stats.probes, stats.rejected), (2, 2, 2));
}

#[test]
fn servers_that_are_well_are_forgotten_for_new_ones() {
    let (circuit, _clock) = circuit(CircuitBreaker::new());
    let circuit = Arc::new(circuit);
    let first = circuit.of_server(1);
    let mut last = 1;
    while Arc::strong_count(&first) > 1 {
        last += 1;
        assert!(last < 100_000, "it is never forgotten");
        circuit.of_server(last);
        circuit.of_server(1 + last / 2);
    }
}
