//! Lines before a store that takes a journey to ask: what happens during the journey is not lost.

use std::task::Poll;
use std::time::Duration;

use support::at_once;
use support::far::{FarStore, limiter_on};
use support::line::Waiter;
use tollgate::{Decision, Limiter, Override, Overrides, Policy, Quota};

const MINUTE: Duration = Duration::from_secs(60);
static POLICY: Policy = Policy::new("line", Quota::new(10, MINUTE));
/// How long a way takes, in microseconds.
const WAY: u64 = 1_000;

fn store() -> (FarStore, Limiter) {
    let store = FarStore::new();
    let clock = store.clock.clone();
    (store.clone(), limiter_on(store, &clock).declare(POLICY.clone()).build())
}

fn pass_a_way(store: &FarStore) {
    store.clock.advance(Duration::from_micros(WAY));
}

fn check(limiter: &Limiter, cost: u32) -> Decision {
    at_once(limiter.check_cost(&POLICY, "s", cost)).unwrap()
}

fn answer(waiter: &mut Waiter<'_>) -> Option<Decision> {
    assert!(waiter.is_woken());
    match waiter.poll() {
        Poll::Ready(decision) => Some(decision),
        Poll::Pending => None,
    }
}

/// The answer that is under way when something happens to the key is not the last word.
#[test]
fn what_happens_while_the_answer_is_under_way_is_not_lost() {
    for happening in ["refund", "reset", "raised", "off"] {
        let (store, limiter) = store();
        let all = check(&limiter, 10);
        assert!(all.is_allowed());
        store.set_ways([0, WAY]);
        let mut waiter = Waiter::new(limiter.wait(&POLICY, "s", 1, 2 * MINUTE));
        assert!(answer(&mut waiter).is_none());
        store.set_ways([0, 0]);
        let overridden = |changes| Overrides::new().with("line", changes);
        match happening {
            "refund" => assert!(at_once(limiter.refund(all)).unwrap()),
            "reset" => at_once(limiter.reset(&POLICY, "s")).unwrap(),
            "raised" => limiter.set_overrides(overridden(Override::new().limit(11))).unwrap(),
            _ => limiter.set_overrides(overridden(Override::new().enabled(false))).unwrap(),
        }
        pass_a_way(&store);
        // The refusal arrives now, and the store is asked again.
        let decision = answer(&mut waiter).expect(happening);
        assert!(decision.is_allowed(), "{happening}");
    }
}

/// Two checks find the same room behind the line: one of them gets it.
#[test]
fn checks_do_not_overtake_together() {
    for (room, passes) in [(5, 0), (6, 1), (7, 2), (8, 2)] {
        let (store, limiter) = store();
        let rest = check(&limiter, 10 - room);
        let used = check(&limiter, room);
        assert!(rest.is_allowed() && used.is_allowed());
        let mut waiter = Waiter::new(limiter.wait(&POLICY, "s", 5, 2 * MINUTE));
        assert!(answer(&mut waiter).is_none());
        assert!(at_once(limiter.refund(used)).unwrap());
        store.set_ways([0, WAY]);
        let check = || Waiter::new(limiter.check(&POLICY, "s"));
        let mut checks = [check(), check()].map(|mut check| {
            assert!(answer(&mut check).is_none(), "the answer is under way");
            check
        });
        store.set_ways([0, 0]);
        pass_a_way(&store);
        let answers = checks.each_mut().map(|check| answer(check).unwrap().is_allowed());
        assert_eq!(answers.into_iter().filter(|passed| *passed).count(), passes, "{room}");
        assert!(answer(&mut waiter).unwrap().is_allowed(), "{room}");
    }
}

/// Whoever is given up on the way there takes nothing along, and the next goes.
#[test]
fn the_first_may_be_given_up_at_any_time() {
    for polls in 0..3 {
        let (store, limiter) = store();
        assert!(check(&limiter, 8).is_allowed());
        store.set_ways([WAY, 0]);
        let wait = || Waiter::new(limiter.wait(&POLICY, "s", 1, 2 * MINUTE));
        let (mut first, mut second) = (wait(), wait());
        assert!(answer(&mut first).is_none() && answer(&mut second).is_none());
        // Time passes, but the journey has not ended.
        for _ in 0..polls {
            store.clock.advance(Duration::from_micros(WAY / 4));
            assert!(answer(&mut first).is_none());
        }
        assert!(second.poll().is_pending());
        drop(first);
        assert!(answer(&mut second).is_none(), "it sets out now");
        pass_a_way(&store);
        assert!(answer(&mut second).unwrap().is_allowed());
        assert_eq!(store.peek(&POLICY, "s", 0).quotas()[0].remaining(), 1);
        // Nobody is in line any more, so a check asks for itself alone.
        store.set_ways([0, 0]);
        let calls = store.calls();
        assert!(check(&limiter, 1).is_allowed());
        assert_eq!(store.calls(), calls + 1);
    }
}
