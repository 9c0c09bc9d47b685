use std::time::Duration;

use super::refusals::{Refusals, SentCheck};
use crate::algorithm::{Counters, Mode};
use crate::micros::Timestamp;
use crate::verdict::Verdict;
use crate::{Check, Outcome, Policy, Quota, Source};

const SECOND: u64 = 1_000_000;
const NOW: u64 = 1_767_268_800 * SECOND;

static TEN: Policy = Policy::new("p", Quota::new(10, Duration::from_secs(60)));

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn refusals(max_keys: usize) -> Refusals {
    Refusals::new(max_keys, Duration::from_secs(1))
}

/// Returns the verdict of a store on `cost` at `now`, right after it has charged `used` units.
fn verdict(policy: &Policy, used: u32, cost: u32, now: u64) -> Verdict {
    let mut verdict = Verdict::new(Outcome::Allowed, 0);
    let mut counters = Counters::new(policy);
    for cost in [used, cost] {
        let check = Check::new(policy, "s", cost);
        counters.decide(&check, at(now), Mode::Charge, &mut verdict);
    }
    verdict
}

/// Stores a refusal of the check at `now`, by a store that has charged all units of the subject.
fn refused<'a>(refusals: &Refusals, check: &Check<'a>, now: u64) -> SentCheck<'a> {
    let sent = refusals.sending(check, at(now));
    refusals.learn(sent, check.cost, &verdict(check.policy, 10, check.cost, now), at(now));
    sent
}

fn answer(refusals: &Refusals, policy: &Policy, cost: u32, now: u64) -> Option<Verdict> {
    let mut verdict = Verdict::new(Outcome::Allowed, 0);
    refusals.answer(&Check::new(policy, "s", cost), at(now), &mut verdict).then_some(verdict)
}

#[test]
fn a_refusal_answers_its_cost_and_more_until_it_is_too_old() {
    let refusals = refusals(10);
    refused(&refusals, &Check::new(&TEN, "s", 3), NOW);
    assert_eq!(answer(&refusals, &TEN, 2, NOW), None);
    for cost in 3..=10 {
        let said = answer(&refusals, &TEN, cost, NOW + SECOND - 1).unwrap();
        let left = Duration::from_micros(59 * SECOND + 1);
        assert_eq!(said.outcome(), Outcome::Refused { retry_after: left });
        assert_eq!(said.source(), Source::DenyCache);
        assert_eq!(said.stamp_micros(), NOW + SECOND - 1);
        let [quota] = said.quotas() else { unreachable!() };
        assert!(quota.is_exceeded() && quota.remaining() == 0);
        assert_eq!([quota.more_after(), quota.reset_after()], [left, left]);
    }
    // A cost that can never be admitted is refused as such.
    let said = answer(&refusals, &TEN, 11, NOW).unwrap();
    assert_eq!(said.outcome(), Outcome::Never);
    assert_eq!(answer(&refusals, &TEN, 3, NOW + SECOND), None);
    // No refusal is reused after the clock was set back.
    assert_eq!(answer(&refusals, &TEN, 3, NOW - 1), None);
}

#[test]
fn a_refusal_answers_no_longer_than_it_must_hold() {
    let refusals = refusals(10);
    let policy = Policy::new("p", Quota::new(10, Duration::from_millis(10)));
    let sent = refusals.sending(&Check::new(&policy, "s", 1), at(NOW));
    // The store decides 300 µs after the check was sent, and its answer arrives 500 µs later.
    let said = verdict(&policy, 10, 1, NOW + 300);
    refusals.learn(sent, 1, &said, at(NOW + 800));
    let retry_after = Duration::from_micros(10_000 - 200);
    let again = answer(&refusals, &policy, 1, NOW + 1_000).unwrap();
    assert_eq!(again.outcome(), Outcome::Refused { retry_after });
    assert!(answer(&refusals, &policy, 1, NOW + 9_999).is_some());
    assert_eq!(answer(&refusals, &policy, 1, NOW + 10_000), None);
    // An answer that arrives too late to be of use is not stored.
    let sent = refusals.sending(&Check::new(&policy, "t", 1), at(NOW));
    refusals.learn(sent, 1, &said, at(NOW + 10_000));
    assert_eq!(refusals.len(), 1);
}

#[test]
fn a_refusal_is_of_one_form_of_the_policy() {
    let refusals = refusals(10);
    refused(&refusals, &Check::new(&TEN, "s", 1), NOW);
    let other = Policy::new("p", Quota::new(11, Duration::from_secs(60)));
    assert_eq!(answer(&refusals, &other, 1, NOW), None);
    // The store follows the other quota from then on, so the first refusal is not reused.
    assert_eq!(answer(&refusals, &TEN, 1, NOW), None);
    refused(&refusals, &Check::new(&TEN, "s", 1), NOW);
    assert_eq!(answer(&refusals, &Policy::new("q", TEN.quotas()[0]), 1, NOW), None);
    assert!(answer(&refusals, &TEN, 1, NOW).is_some());
}

#[test]
fn what_can_never_be_admitted_is_remembered_too() {
    let refusals = refusals(10);
    let sent = refusals.sending(&Check::new(&TEN, "s", 1), at(NOW));
    refusals.learn(sent, 11, &verdict(&TEN, 4, 11, NOW), at(NOW));
    assert_eq!(answer(&refusals, &TEN, 10, NOW), None);
    let said = answer(&refusals, &TEN, 12, NOW + SECOND - 1).unwrap();
    assert_eq!((said.outcome(), said.quotas()[0].remaining()), (Outcome::Never, 6));
    assert!(said.quotas()[0].is_exceeded());
    assert_eq!(answer(&refusals, &TEN, 12, NOW + SECOND), None);
}

#[test]
fn quotas_age_with_the_refusal() {
    let second = Quota::new(10, Duration::from_millis(100));
    let policy = Policy::new("p", second).and(Quota::new(10, Duration::from_secs(60)));
    let refusals = refusals(10);
    refused(&refusals, &Check::new(&policy, "s", 1), NOW);
    let exceeded = |now| {
        let said = answer(&refusals, &policy, 1, now).unwrap();
        [0, 1].map(|quota: usize| {
            let quota = said.quotas()[quota];
            (quota.is_exceeded(), quota.remaining(), quota.reset_after().as_micros() as u64)
        })
    };
    assert_eq!(exceeded(NOW + 99_999), [(true, 0, 1), (true, 0, 60 * SECOND - 99_999)]);
    assert_eq!(exceeded(NOW + 100_000), [(false, 10, 0), (true, 0, 60 * SECOND - 100_000)]);
}

#[test]
fn what_is_given_back_is_forgotten_even_by_answers_under_way() {
    let refusals = refusals(10);
    let sent = refused(&refusals, &Check::new(&TEN, "s", 1), NOW);
    refusals.forget(&Check::new(&TEN, "s", 1));
    assert_eq!(answer(&refusals, &TEN, 1, NOW), None);
    // An answer that the store gave before the refund, and that arrives after it, is not stored.
    refusals.learn(sent, 1, &verdict(&TEN, 10, 1, NOW), at(NOW));
    assert_eq!(answer(&refusals, &TEN, 1, NOW), None);
    refused(&refusals, &Check::new(&TEN, "s", 1), NOW);
    assert!(answer(&refusals, &TEN, 1, NOW).is_some());
}

#[test]
fn a_flood_stays_within_the_bound_and_leaves_who_is_active() {
    for max_keys in [1, 7, 600, 5_000] {
        let refusals = refusals(max_keys);
        if max_keys > 1 {
            refused(&refusals, &Check::new(&TEN, "s", 1), NOW);
            assert!(answer(&refusals, &TEN, 1, NOW).is_some());
        }
        for number in 0..max_keys * 20 {
            refused(&refusals, &Check::new(&TEN, &number.to_string(), 1), NOW);
            assert!(max_keys == 1 || answer(&refusals, &TEN, 1, NOW).is_some(), "{number}");
        }
        assert!(refusals.len() <= max_keys, "{} of {max_keys}", refusals.len());
        assert!(refusals.len() > max_keys * 3 / 4, "{} of {max_keys}", refusals.len());
    }
}
