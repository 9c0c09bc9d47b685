//! Clocks that jump, checks that race, and callers that wait, at the bounds of a calendar.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tollgate::{Algorithm, Calendar, Decision, Outcome, Policy};

use support::almanac::{Almanac, almanacs, instants};
use support::reference::{Jump, cases, jump};
use support::subject::{Memory, Store as _};

const BERLIN: Almanac = Almanac { unit: Calendar::Day, zone: "Europe/Berlin" };
const AT: u64 = 1_750_000_000_000_000;

fn policy(almanac: Almanac, limit: u32) -> Policy {
    Policy::new("p", almanac.quota(limit)).algorithm(Algorithm::FixedWindow)
}

/// Two cores do not agree on the bound: nothing is forgotten, and nobody waits longer than to the end.
#[test]
fn a_small_step_back_over_a_bound_forgets_nothing() {
    let memory = Memory::small();
    let policy = policy(BERLIN, 3);
    let (_, bound) = BERLIN.window(AT);
    let (_, end) = BERLIN.window(bound);
    let mut admitted = 0;
    for round in 0..10 {
        for instant in [bound + round, bound - 1 - round, bound + 99_999, bound - 1] {
            memory.clock().set_micros(instant);
            let decision = memory.check(&policy, "s", 1);
            admitted += u32::from(decision.is_allowed());
            let reset_after = Duration::from_micros(end - instant);
            assert_eq!(decision.quotas()[0].reset_after(), reset_after);
        }
    }
    assert_eq!(admitted, 3);
}

/// A clock that is set back by years locks nobody out: the window is the one of then.
#[test]
fn a_clock_that_is_set_back_locks_nobody_out() {
    proptest!(cases(400, 20_000), |(
        almanac in almanacs(),
        start in instants(),
        jumps in prop::collection::vec(jump(instants()), 1..20),
    )| {
        let memory = Memory::small();
        let policy = policy(almanac, 2);
        let mut now = start;
        for jump in jumps {
            now = match jump {
                // Before 2019 and long after, the almanac knows nothing.
                Jump::To(instant) if instant < start => start,
                jump => jump.from(now).clamp(start, start + 3_650 * support::reference::DAY),
            };
            memory.clock().set_micros(now);
            let decision = memory.check(&policy, "s", 1);
            let (_, end) = almanac.window(now);
            // A window that begins within a tenth of a second is the one that is counted already.
            let (_, next) = almanac.window(end);
            if let Outcome::Refused { retry_after } = decision.outcome() {
                let until = now + u64::try_from(retry_after.as_micros()).unwrap();
                prop_assert!(until == end || (until == next && end - now <= 100_000));
            }
            if now == end - 1 {
                continue;
            }
            memory.clock().set_micros(next);
            prop_assert!(memory.check(&policy, "s", 1).is_allowed());
            now = next;
        }
    });
}

/// A charge that is given back after the clock was set back and forth is not another's.
#[test]
fn a_refund_of_a_forgotten_charge_gives_nothing_back() {
    let memory = Memory::small();
    let policy = policy(BERLIN, 1);
    let (start, end) = BERLIN.window(AT);
    let at = |instant: u64| -> Decision {
        memory.clock().set_micros(instant);
        memory.check(&policy, "s", 1)
    };
    let first = at(start + 10_000_000);
    assert!(first.is_allowed());
    assert!(!at(start - 10_000_000).is_allowed());
    assert!(at(start + 20_000_000).is_allowed());
    assert!(!memory.wait(memory.limiter().refund(first)).unwrap());
    assert!(!at(end - 1).is_allowed());
}

/// However many threads ask while the bound passes, each window admits its limit.
#[test]
fn threads_around_a_bound_get_no_more_than_both_windows() {
    let memory = Arc::new(Memory::small());
    let policy = policy(BERLIN, 50);
    let (_, bound) = BERLIN.window(AT);
    let admitted = [const { AtomicUsize::new(0) }; 2];
    memory.clock().set_micros(bound - 1_000);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    memory.clock().advance(Duration::from_micros(1));
                    let decision = memory.check(&policy, "s", 1);
                    let is_after = decision.quotas()[0].reset_after() > Duration::from_secs(3_600);
                    let of = usize::from(is_after);
                    admitted[of].fetch_add(usize::from(decision.is_allowed()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted.map(AtomicUsize::into_inner), [50, 50]);
}

/// Who waits is admitted when the window opens, and who stands behind is told the window after it.
#[tokio::test(start_paused = true)]
async fn who_waits_is_admitted_with_the_next_window() {
    let memory = Memory::small();
    let almanac = Almanac { unit: Calendar::Month, zone: "America/Sao_Paulo" };
    let policy = policy(almanac, 1);
    let (_, bound) = almanac.window(AT);
    let (_, next) = almanac.window(bound);
    memory.clock().set_micros(bound - 2_000_000);
    let limiter = memory.limiter().clone();
    assert!(limiter.check(&policy, "s").await.unwrap().is_allowed());
    let waiting = {
        let (limiter, policy) = (limiter.clone(), policy.clone());
        tokio::spawn(async move {
            limiter.wait(&policy, "s", 1, Duration::from_secs(10)).await.unwrap()
        })
    };
    tokio::time::sleep(Duration::from_millis(1)).await;
    let behind = limiter.check(&policy, "s").await.unwrap();
    let retry_after = Duration::from_micros(next - (bound - 2_000_000));
    assert_eq!(behind.outcome(), Outcome::Refused { retry_after });
    memory.clock().set_micros(bound);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(waiting.await.unwrap().is_allowed());
}
