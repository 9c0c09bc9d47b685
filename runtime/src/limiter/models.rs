//! Models of whole limiters in memory: callers who wait for what others give back. No time passes, so a
//! caller who misses it waits for ever, which the checker finds.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shuttle::future::{block_on, spawn};
use shuttle::thread;

use super::Limiter;
use crate::exploration::{SteppedClock, explore, pause};
use crate::{Decision, InFlight, MemoryBackend, Policy, Quota};

const HOUR: Duration = Duration::from_secs(3_600);
static IN_FLIGHT: Policy = Policy::in_flight_only("f", InFlight::new(1));
static QUOTA: Policy = Policy::new("q", Quota::new(1, HOUR));

fn limiter() -> Limiter {
    let clock = SteppedClock::new();
    let backend = MemoryBackend::builder().max_keys(2).clock(clock.clone()).build();
    Limiter::builder(backend).clock(clock).build()
}

/// Waits for longer than any time that a model takes.
async fn wait(limiter: Limiter, policy: &'static Policy) -> Decision {
    limiter.wait(policy, "s", 1, HOUR * 24).await.unwrap()
}

fn assert_nothing_is_left(limiter: &Limiter) {
    assert!(limiter.shared.queue.is_empty());
    limiter.each_permit_held(&mut |policy, held| panic!("{held} permits of {policy} are left"));
}

/// Of those who wait for a permit each has one in the end, one at a time, also if one of them is given up
/// while it waits or while it holds one.
#[test]
fn a_permit_goes_to_the_next_in_line() {
    explore(|| {
        let (limiter, held) = (limiter(), Arc::new(AtomicU32::new(0)));
        let hold = |limiter: Limiter, held: Arc<AtomicU32>| async move {
            let decision = wait(limiter, &IN_FLIGHT).await;
            assert!(decision.is_allowed());
            assert_eq!(held.fetch_add(1, Ordering::Relaxed), 0, "one at a time");
            let in_use = CountedPermit { held, _decision: decision };
            shuttle::future::yield_now().await;
            drop(in_use);
        };
        let call = || spawn(hold(limiter.clone(), Arc::clone(&held)));
        let (given_up, others) = (call(), [call(), call()]);
        pause();
        given_up.abort();
        others.into_iter().for_each(|caller| block_on(caller).unwrap());
        drop(block_on(given_up));
        assert_eq!(held.load(Ordering::Relaxed), 0);
        assert_nothing_is_left(&limiter);
    });
}

/// Whatever a check is told that does not wait, who waits has its turn.
#[test]
fn a_plain_check_beside_the_line() {
    explore(|| {
        let limiter = limiter();
        let first = limiter.check_now(&IN_FLIGHT, "s", 1).unwrap().unwrap();
        assert!(first.is_allowed());
        let waiting = spawn(wait(limiter.clone(), &IN_FLIGHT));
        let plain = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.check_now(&IN_FLIGHT, "s", 1).unwrap().unwrap())
        };
        pause();
        drop(first);
        drop(plain.join().unwrap());
        assert!(block_on(waiting).unwrap().is_allowed());
        assert_nothing_is_left(&limiter);
    });
}

/// A unit that is given back goes to who waits for it, and no unit to two.
#[test]
fn a_refund_goes_to_the_next_in_line() {
    explore(|| {
        let limiter = limiter();
        let charged = limiter.check_now(&QUOTA, "s", 1).unwrap().unwrap();
        // A call that is admitted gives its unit back, but for the last.
        let refunds = Arc::new(Mutex::new(1));
        let take = |limiter: Limiter, refunds: Arc<Mutex<u32>>| async move {
            let decision = wait(limiter.clone(), &QUOTA).await;
            assert!(decision.is_allowed());
            let refunds_it = {
                let mut left = refunds.lock().unwrap();
                let refunds_it = *left > 0;
                *left = left.saturating_sub(1);
                refunds_it
            };
            if refunds_it {
                assert!(limiter.refund(decision).await.unwrap());
            }
        };
        let callers = [(); 2].map(|()| spawn(take(limiter.clone(), Arc::clone(&refunds))));
        assert!(block_on(limiter.refund(charged)).unwrap());
        callers.into_iter().for_each(|caller| block_on(caller).unwrap());
        let last = limiter.check_now(&QUOTA, "s", 1).unwrap().unwrap();
        assert!(!last.is_allowed(), "the last unit is in use");
        assert_nothing_is_left(&limiter);
    });
}

/// A decision whose permit is counted until just before it is dropped.
struct CountedPermit {
    held: Arc<AtomicU32>,
    _decision: Decision,
}

impl Drop for CountedPermit {
    fn drop(&mut self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }
}
