use std::time::Duration;

use super::key_lease::{Grant, KeyLease, LeaseLimits, NextStep, Refill, RefillState};
use crate::algorithm::Settlement;
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::Verdict;
use crate::{Outcome, QuotaState, Source};

const HOLD: TimeSpan = TimeSpan::from_micros(1_000_000);
const NOW: Timestamp = Timestamp::from_micros(1_767_268_800 * HOLD.micros());
const ONE: TimeSpan = TimeSpan::ONE;
const LIMITS: LeaseLimits = LeaseLimits { max: 50, hold: HOLD };

fn verdict(remaining: u32) -> Verdict {
    let mut verdict = Verdict::new(Outcome::Allowed, NOW.micros());
    verdict.push(QuotaState::new(false, remaining, Duration::ZERO, Duration::ZERO));
    verdict
}

fn next(lease: &mut KeyLease, cost: u32, now: Timestamp) -> NextStep {
    lease.next_step(cost, now, LIMITS, &mut verdict(0))
}

/// Returns the lease of a key after `times` checks of cost 1 just now. `remaining` units remain.
fn asked(times: u32, remaining: u32) -> KeyLease {
    let mut lease = KeyLease::new(NOW, 1, LIMITS, &verdict(0));
    for _ in 1..times {
        assert!(matches!(next(&mut lease, 1, NOW), NextStep::Ask));
    }
    lease.update_remaining(&verdict(remaining));
    lease
}

fn take_back(lease: &mut KeyLease, charged_at: Timestamp, cost: u32, now: Timestamp) -> bool {
    lease.take_back(Settlement { now, charged_at, cost, actual: 0 })
}

fn refill(lease: &mut KeyLease, cost: u32, now: Timestamp) -> Option<Refill> {
    match next(lease, cost, now) {
        NextStep::Refill(refill) => Some(refill),
        _ => None,
    }
}

#[test]
fn a_lease_is_half_of_the_demand_or_a_quarter_of_what_remains() {
    for (times, remaining, cost, units) in [
        (1, 1_000, 1, None),
        (2, 1_000, 1, None),
        (3, 1_000, 1, Some(2)),
        (19, 1_000, 1, Some(10)),
        (19, 1_000, 4, Some(8)),
        (19, 1_000, 12, None),
        (19, 11, 1, Some(2)),
        (19, 7, 1, None),
        (19, 0, 1, None),
        (500, 1_000, 1, Some(50)),
        (500, 1_000, 0, None),
    ] {
        let refill = refill(&mut asked(times, remaining), cost, NOW);
        assert_eq!(refill.map(|refill| refill.units), units, "{times} {remaining} {cost}");
    }
}

#[test]
fn demand_is_that_of_this_span_or_the_one_before() {
    for (later, units) in [
        (HOLD - ONE, Some(20)),
        (HOLD, Some(20)),
        (HOLD * 2 - ONE, Some(20)),
        (HOLD * 2, None),
        (HOLD * 100, None),
    ] {
        let refill = refill(&mut asked(40, 1_000), 1, NOW + later);
        assert_eq!(refill.map(|refill| refill.units), units, "{later:?}");
    }
}

#[test]
fn one_brings_permits_and_the_others_wait() {
    let mut lease = asked(40, 1_000);
    let refill = refill(&mut lease, 1, NOW).unwrap();
    let NextStep::Wait(waiting) = next(&mut lease, 1, NOW) else { unreachable!() };
    assert!(matches!(*waiting.borrow(), RefillState::Pending));
    assert!(lease.is_in_use());
    assert!(lease.end_refill(refill.epoch));
    lease.replace_grant(Grant::new(20, 19, NOW, HOLD, &verdict(900)));
    assert!(matches!(next(&mut lease, 19, NOW), NextStep::Spent));
    assert!(matches!(next(&mut lease, 1, NOW), NextStep::Refill(_)));
}

#[test]
fn if_who_brings_them_is_gone_another_one_goes() {
    let mut lease = asked(40, 1_000);
    drop(refill(&mut lease, 1, NOW).unwrap());
    assert!(refill(&mut lease, 1, NOW).is_some());
}

#[test]
fn a_lease_is_spent_in_its_time_and_not_past_its_end() {
    let mut lease = asked(40, 1_000);
    lease.replace_grant(Grant::new(20, 19, NOW, HOLD, &verdict(900)));
    let mut said = verdict(0);
    for (now, cost, spends) in [
        (NOW - ONE, 1, false),
        (NOW, 0, false),
        (NOW, 4, true),
        (NOW + HOLD - ONE, 16, false),
        (NOW + HOLD - ONE, 15, true),
        (NOW + HOLD - ONE, 1, false),
    ] {
        assert_eq!(lease.spend(cost, now, LIMITS, &mut said), spends, "{now:?} {cost}");
    }
    assert_eq!((said.source(), said.quotas()[0].remaining()), (Source::Lease, 900));
    // Spent permits can be put back for as long as they could be spent.
    assert!(!take_back(&mut lease, NOW + ONE, 4, NOW));
    assert!(!take_back(&mut lease, NOW, 21, NOW));
    assert!(!take_back(&mut lease, NOW, 4, NOW + HOLD));
    assert!(take_back(&mut lease, NOW, 4, NOW));
    assert_eq!(lease.expire(NOW + HOLD - ONE).err(), Some(NOW + HOLD));
    assert_eq!(lease.expire(NOW + HOLD).ok().flatten().map(|grant| grant.left), Some(4));
}

#[test]
fn what_the_store_has_forgotten_is_not_spent() {
    let mut lease = asked(40, 1_000);
    let refill = refill(&mut lease, 1, NOW).unwrap();
    lease.replace_grant(Grant::new(20, 19, NOW, HOLD, &verdict(900)));
    lease.forget();
    assert!(!lease.spend(1, NOW, LIMITS, &mut verdict(0)));
    assert!(!lease.end_refill(refill.epoch));
}
