//! The pace of calls to a server that is modelled: behind a line, taking its time for each call and
//! each check, one call after the other.

use proptest::prelude::*;

use super::*;

const fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}

/// A line and a server, in microseconds, with checks that come in equal distances.
#[derive(Clone, Copy, Debug)]
struct Case {
    way: u64,
    call: u64,
    check: u64,
    distance: u64,
}

/// What was seen of checks, without the first calls, which make the line known.
#[derive(Debug, Default)]
struct Seen {
    calls: u64,
    checks: u64,
    most_calls: usize,
    /// The time for which all of the checks waited to be sent.
    waited: Duration,
    longest: Duration,
}

/// Has so many checks sent by the pace, as the worker does, and returns what was seen of the second
/// half of them.
fn run(case: Case, checks: u64) -> Seen {
    let begin = Instant::now();
    let mut pace = Pace::new(1);
    let mut seen = Seen::default();
    let (mut queue, mut answers) = (VecDeque::new(), VecDeque::new());
    let (mut added, mut free_at) = (0, begin);
    while added < checks || !queue.is_empty() || !answers.is_empty() {
        let next_check = (added < checks).then(|| begin + micros(case.distance * (added + 1)));
        let next_answer = answers.front().copied();
        let is_check = next_check.is_some_and(|at| next_answer.is_none_or(|answer| at <= answer));
        let now = next_check.into_iter().chain(next_answer).min().unwrap_or(free_at);
        if is_check {
            added += 1;
            queue.push_back(now);
        } else {
            assert!(next_answer.is_some(), "a check waits for nothing");
            answers.pop_front();
            pace.answer(now);
        }
        // Not every check is told to whoever waits for an answer.
        let departure = pace.departure(now);
        if queue.is_empty() || departure != Departure::Now {
            assert!(queue.is_empty() || !answers.is_empty(), "a check waits for nothing");
            continue;
        }
        let most = if pace.is_silent(now) { 1 } else { 128 };
        let batch: Vec<Instant> = queue.drain(..queue.len().min(most)).collect();
        pace.send(now, 1, batch.len());
        free_at = free_at.max(now + micros(case.way))
            + micros(case.call + case.check * batch.len() as u64);
        answers.push_back(free_at + micros(case.way));
        assert!(answers.len() <= MAX_CALLS);
        if added > checks / 2 {
            seen.calls += 1;
            seen.checks += batch.len() as u64;
            seen.most_calls = seen.most_calls.max(answers.len());
            for since in batch {
                seen.waited += now - since;
                seen.longest = seen.longest.max(now - since);
            }
        }
    }
    seen
}

fn waited(seen: &Seen, case: Case) -> f64 {
    let trip = micros(case.way * 2 + case.call + case.check);
    seen.waited.as_secs_f64() / seen.checks as f64 / trip.as_secs_f64()
}

#[test]
fn over_a_long_line_checks_leave_at_once() {
    for distance in [20_000, 10_000, 2_500, 667, 400] {
        let case = Case { way: 2_000, call: 25, check: 5, distance };
        let seen = run(case, 2_000);
        assert!(seen.longest <= micros(case.way / 4), "{case:?}: {seen:?}");
        assert!(waited(&seen, case) < 0.01, "{case:?}: {seen:?}");
    }
}

#[test]
fn over_a_long_line_many_checks_share_calls_and_hardly_wait() {
    for distance in [200, 100, 30, 20] {
        let case = Case { way: 2_000, call: 25, check: 5, distance };
        let seen = run(case, 20_000);
        assert!(seen.calls * 10 <= seen.checks * 7, "{case:?}: {seen:?}");
        assert!(waited(&seen, case) < 0.1, "{case:?}: {seen:?}");
    }
}

#[test]
fn beside_the_server_one_call_is_on_its_way() {
    for distance in [200, 50, 20, 10, 7] {
        let case = Case { way: 15, call: 25, check: 5, distance };
        let seen = run(case, 20_000);
        assert_eq!(seen.most_calls, 1, "{case:?}: {seen:?}");
    }
}

#[test]
fn at_a_slow_server_checks_share_calls() {
    for (way, call) in [(15, 2_000), (15, 20_000), (2_000, 8_000), (500, 4_000)] {
        let case = Case { way, call, check: 5, distance: 100 };
        let seen = run(case, 20_000);
        // At most two of three calls follow another, and then they have half of the checks.
        let most = (way * 2 + call) / case.distance;
        assert!(seen.checks > seen.calls * most / 3, "{case:?}: {seen:?}");
    }
}

/// A pace of which so many calls were answered after a time, one by one.
fn known(line: Duration, answers: u32) -> (Pace, Instant) {
    let (mut pace, mut now) = (Pace::new(1), Instant::now());
    for _ in 0..answers {
        pace.send(now, 1, 1);
        assert_eq!(
            pace.departure(now + line / 4) == Departure::Now,
            pace.to_prove == 0 && pace.window > 1
        );
        now += line;
        pace.answer(now);
    }
    (pace, now)
}

const LINE: Duration = micros(4_000);

/// Returns the number of calls that may leave at once behind a first one.
fn following(mut pace: Pace, mut now: Instant) -> usize {
    let mut count = 0;
    pace.send(now, 1, 1);
    loop {
        now += LINE / DISTANCE;
        if count == MAX_CALLS || pace.departure(now) != Departure::Now {
            return count;
        }
        pace.send(now, 1, 1);
        count += 1;
    }
}

#[test]
fn a_new_connection_is_known_only_after_some_answers() {
    for answers in 0..TO_KNOW {
        let (pace, now) = known(LINE, answers);
        assert_eq!(following(pace, now), 0, "{answers}");
    }
    let (mut pace, now) = known(LINE, 50);
    assert!(following(pace, now) > 2);
    let (pace_of_another, now) = known(LINE, 50);
    pace = pace_of_another;
    pace.connect(1);
    pace.connect(2);
    assert_eq!(following(pace, now), 0);
}

#[test]
fn calls_go_alone_after_a_deferral_and_after_a_failure() {
    for (fails, answers) in [(false, AFTER_DEFERRAL), (true, 1)] {
        let (mut pace, mut now) = known(LINE, 50);
        pace.send(now, 1, 128);
        now += LINE;
        if fails {
            pace.fail();
        } else {
            pace.defer(now);
        }
        for _ in 0..answers {
            pace.send(now, 1, 1);
            assert_eq!(pace.departure(now + LINE / 2), Departure::AfterAnswer);
            now += LINE;
            pace.answer(now);
        }
        assert!(following(pace, now) > 0);
    }
}

#[test]
fn nothing_follows_a_call_that_is_late_or_the_first_after_a_silence() {
    let (mut pace, now) = known(LINE, 50);
    pace.send(now, 1, 1);
    assert_eq!(pace.departure(now + LINE), Departure::Now);
    assert_eq!(pace.departure(now + LINE * 2 + micros(1)), Departure::AfterAnswer);
    let (mut pace, now) = known(LINE, 50);
    let later = now + LINE * 8;
    assert!(!pace.is_silent(later - micros(1)) && pace.is_silent(later));
    pace.send(later, 1, 1);
    assert_eq!(pace.departure(later + micros(1)), Departure::AfterAnswer);
    // Nobody waits for what was sent over a connection that is left.
    pace.abandon();
    assert_eq!(pace.departure(later), Departure::Now);
}

#[test]
fn a_line_that_has_become_longer_is_known_again() {
    let (mut pace, mut now) = known(micros(400), 2_000);
    for _ in 0..MEMORY * 2 + TO_FOLLOW * 2 {
        pace.send(now, 1, 1);
        now += LINE;
        pace.answer(now);
    }
    assert!(following(pace, now) > 0);
}

proptest! {
    /// Whatever the line and the server, nothing waits in vain, calls are as many as may be, and a
    /// check that finds nothing on its way leaves.
    #[test]
    fn checks_never_wait_for_nothing(
        way in 1..20_000_u64,
        call in 1..20_000_u64,
        check in 1..200_u64,
        distance in 1..20_000_u64,
    ) {
        run(Case { way, call, check, distance }, 500);
    }

    /// Over a line that is long by far, checks wait for a small part of it.
    #[test]
    fn over_long_lines_checks_hardly_wait(
        way in 1_000..50_000_u64,
        call in 10..50_u64,
        checks_on_the_way in 1..40_u64,
    ) {
        let distance = (way * 2 / checks_on_the_way).max(50);
        let case = Case { way, call, check: 5, distance };
        let seen = run(case, 2_000);
        prop_assert!(waited(&seen, case) < 0.15, "{case:?}: {seen:?}");
    }
}
