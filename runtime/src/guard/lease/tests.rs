use std::time::Duration;

use super::account::{Account, Grant, Landing, Next, Refill, Terms};
use crate::Verdict;
use crate::{Outcome, QuotaState, Source};

const HOLD: u64 = 1_000_000;
const NOW: u64 = 1_767_268_800 * HOLD;
const TERMS: Terms = Terms { max: 50, hold: HOLD };

fn verdict(remaining: u32) -> Verdict {
    let mut verdict = Verdict::new(Outcome::Allowed, NOW);
    verdict.push(QuotaState::new(false, remaining, Duration::ZERO, Duration::ZERO));
    verdict
}

fn next(account: &mut Account, cost: u32, now: u64) -> Next {
    account.next(cost, now, TERMS, &mut verdict(0))
}

/// A key that has just been asked for so often.
fn asked(times: u32, remaining: u32) -> Account {
    let mut account = Account::new(NOW, 1, TERMS, &verdict(0));
    for _ in 1..times {
        assert!(matches!(next(&mut account, 1, NOW), Next::Ask));
    }
    account.note(&verdict(remaining));
    account
}

fn refill(account: &mut Account, cost: u32, now: u64) -> Option<Refill> {
    match next(account, cost, now) {
        Next::Refill(refill) => Some(refill),
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
        (HOLD - 1, Some(20)),
        (HOLD, Some(20)),
        (2 * HOLD - 1, Some(20)),
        (2 * HOLD, None),
        (100 * HOLD, None),
    ] {
        let refill = refill(&mut asked(40, 1_000), 1, NOW + later);
        assert_eq!(refill.map(|refill| refill.units), units, "{later}");
    }
}

#[test]
fn one_brings_permits_and_the_others_wait() {
    let mut account = asked(40, 1_000);
    let refill = refill(&mut account, 1, NOW).unwrap();
    let Next::Wait(landing) = next(&mut account, 1, NOW) else { unreachable!() };
    assert!(matches!(*landing.borrow(), Landing::Pending));
    assert!(account.is_needed());
    assert!(account.land(refill.era));
    account.put(Grant::new(20, 19, NOW, HOLD, &verdict(900)));
    assert!(matches!(next(&mut account, 19, NOW), Next::Spent));
    assert!(matches!(next(&mut account, 1, NOW), Next::Refill(_)));
}

#[test]
fn if_who_brings_them_is_gone_another_one_goes() {
    let mut account = asked(40, 1_000);
    drop(refill(&mut account, 1, NOW).unwrap());
    assert!(refill(&mut account, 1, NOW).is_some());
}

#[test]
fn a_lease_is_spent_in_its_time_and_not_past_its_end() {
    let mut account = asked(40, 1_000);
    account.put(Grant::new(20, 19, NOW, HOLD, &verdict(900)));
    let mut said = verdict(0);
    for (now, cost, spends) in [
        (NOW - 1, 1, false),
        (NOW, 0, false),
        (NOW, 4, true),
        (NOW + HOLD - 1, 16, false),
        (NOW + HOLD - 1, 15, true),
        (NOW + HOLD - 1, 1, false),
    ] {
        assert_eq!(account.spend(cost, now, TERMS, &mut said), spends, "{now} {cost}");
    }
    assert_eq!((said.source(), said.quotas()[0].remaining()), (Source::Lease, 900));
    // What was spent can be taken back while it can be spent again.
    assert!(!account.take_back(NOW + 1, 4, NOW));
    assert!(!account.take_back(NOW, 21, NOW));
    assert!(!account.take_back(NOW, 4, NOW + HOLD));
    assert!(account.take_back(NOW, 4, NOW));
    assert_eq!(account.expire(NOW + HOLD - 1).err(), Some(NOW + HOLD));
    assert_eq!(account.expire(NOW + HOLD).ok().flatten().map(|grant| grant.left), Some(4));
}

#[test]
fn what_the_store_has_forgotten_is_not_spent() {
    let mut account = asked(40, 1_000);
    let refill = refill(&mut account, 1, NOW).unwrap();
    account.put(Grant::new(20, 19, NOW, HOLD, &verdict(900)));
    account.forget();
    assert!(!account.spend(1, NOW, TERMS, &mut verdict(0)));
    assert!(!account.land(refill.era));
}
