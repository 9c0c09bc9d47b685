//! Charges that are settled at what their requests came to, below and above, and subjects that are
//! banned meanwhile: every answer is that of a naive model, to the unit and the microsecond.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tollgate::testing::ManualClock;
use tollgate::{
    Algorithm, Decision, Limiter, LocalTier, MemoryBackend, OnError, Outcome, Override, Overrides,
    Policy, Quota, Settled, Source,
};

use support::far::{FarStore, limiter_on};
use support::judged::judged_with_debts;
use support::reference::{
    Action, Answer, BanNumbers, DAY, Event, Numbers, START, TEN_YEARS, bans, cases, for_all_six,
    has_bucket, micros, play_with_ban, quotas, settled_steps,
};
use support::subject::{Memory, Replay, Subject};

fn every_answer_is_the_models(algorithm: Algorithm) {
    let traces = (quotas(algorithm), bans(), settled_steps(60));
    proptest!(cases(400, 20_000), |((numbers, ban, steps) in traces)| {
        let subject = Subject::new(algorithm, &numbers).with_ban(ban);
        let mut replay = Replay::of(subject);
        for event in play_with_ban(algorithm, &numbers, ban, &steps) {
            prop_assert_eq!(replay.answer(&event), event.answer, "{:?} at {}", event.action, event.at);
        }
    });
}

for_all_six!(every_answer_is_the_models);

fn so_it_is_while_the_form_changes(algorithm: Algorithm) {
    proptest!(cases(200, 20_000), |(judged in judged_with_debts(algorithm, 60))| {
        prop_assert_eq!(judged.compare(Memory::new(), "s".to_owned()), Ok(()));
    });
}

for_all_six!(so_it_is_while_the_form_changes);

/// The traces go where something could go wrong: how often each of these things happens in 300.
fn the_traces_go_where_it_is_hard(algorithm: Algorithm) {
    let mut runner = TestRunner::deterministic();
    let traces = (quotas(algorithm), bans(), settled_steps(60));
    let mut seen = BTreeMap::new();
    for _ in 0..300 {
        let (numbers, ban, steps) = traces.new_tree(&mut runner).unwrap().current();
        let events = play_with_ban(algorithm, &numbers, ban, &steps);
        look(&events, ban, |what| *seen.entry(what).or_insert(0) += 1);
    }
    for what in [
        "unchanged",
        "given back",
        "given back in part",
        "a debt",
        "a debt of nothing charged",
        "the largest debt",
        "nothing to give back",
        "refused",
        "at its instant",
        "a microsecond early",
        "banned by refusals",
        "banned for longer than before",
        "at the end of its ban",
        "a microsecond before that",
        "forgiven",
        "unbanned",
        "not banned",
        "blocked",
    ] {
        let times = seen.get(what).copied().unwrap_or(0);
        assert!(times >= 20, "{what}: only {times} times; all: {seen:?}");
    }
}

for_all_six!(the_traces_go_where_it_is_hard);

fn look(events: &[Event], ban: Option<BanNumbers>, mut see: impl FnMut(&'static str)) {
    // The instant at which a request may come again, and what was said then.
    let (mut retry_at, mut was_banned) = (0, false);
    for event in events {
        match (event.action, &event.answer) {
            (Action::Settle(of, actual), Answer::Settled(settled)) => {
                let Action::Charge(cost) = events[of].action else { unreachable!() };
                match settled {
                    Settled::Unchanged => see("unchanged"),
                    Settled::Refunded if actual > 0 => see("given back in part"),
                    Settled::Refunded => see("given back"),
                    Settled::Charged if cost == 0 => see("a debt of nothing charged"),
                    Settled::Charged if actual == u32::MAX => see("the largest debt"),
                    Settled::Charged => see("a debt"),
                    _ => see("nothing to give back"),
                }
            }
            (Action::Forgive(_), _) => see("forgiven"),
            (Action::Unban, Answer::Unbanned(true)) => see("unbanned"),
            (Action::Unban, _) => see("not banned"),
            (Action::Blocked(_), _) => see("blocked"),
            (Action::Charge(cost), Answer::Decision(said)) if cost > 0 => match said.outcome {
                Outcome::Allowed if retry_at == event.at && was_banned => {
                    see("at the end of its ban");
                }
                Outcome::Allowed if retry_at == event.at => see("at its instant"),
                Outcome::Refused { retry_after } => {
                    see("refused");
                    if micros(retry_after) == 1 {
                        see("a microsecond early");
                    }
                    (retry_at, was_banned) = (event.at + micros(retry_after), false);
                }
                Outcome::Banned { retry_after } => {
                    let span = micros(retry_after);
                    if span == 1 {
                        see("a microsecond before that");
                    }
                    if let Some(ban) = ban {
                        let length = |earlier: u32| {
                            let grown = u64::from(ban.grow).saturating_pow(earlier);
                            ban.first.saturating_mul(grown).min(ban.most)
                        };
                        if span == ban.first {
                            see("banned by refusals");
                        } else if (1..60).any(|earlier| span == length(earlier)) {
                            see("banned for longer than before");
                        }
                    }
                    (retry_at, was_banned) = (event.at + span, true);
                }
                _ => {}
            },
            _ => {}
        }
    }
}

/// Units that a subject has in use, by what remains to it.
fn used(subject: &Subject, numbers: Numbers) -> u64 {
    numbers.capacity() - u64::from(subject.peek(0).remaining())
}

fn a_charge_of_nothing_is_settled_up(algorithm: Algorithm) {
    let numbers = Numbers::new(10, 60_000_000);
    let mut subject = Subject::new(algorithm, &[numbers]);
    for (actual, settled) in [(0, Settled::Unchanged), (3, Settled::Charged), (7, Settled::Charged)]
    {
        let free = subject.check(0);
        assert!(free.is_allowed());
        assert_eq!(subject.settle(free, actual), settled);
    }
    assert_eq!(used(&subject, numbers), 10);
    let free = subject.check(0);
    assert_eq!(subject.settle(free, 5), Settled::Charged);
    let wait = micros(subject.check(1).retry_after().unwrap());
    subject.pass(wait - 1);
    assert!(!subject.check(1).is_allowed());
    subject.pass(1);
    assert!(subject.check(1).is_allowed());
}

for_all_six!(a_charge_of_nothing_is_settled_up);

/// The largest debts of the slowest and the fastest quotas, again and again, also where time ends.
fn no_debt_is_beyond_ten_years(algorithm: Algorithm) {
    let (year, most) = (366 * DAY, u64::from(u32::MAX));
    let mut all = vec![
        Numbers::new(1, year),
        Numbers::new(1, 1_000),
        Numbers::new(u32::MAX, most),
        Numbers::new(u32::MAX, year),
        Numbers::new(1_000, 1_000),
    ];
    if has_bucket(algorithm) {
        all.extend([Numbers::new(1, year).burst(10), Numbers::new(1_000, 1_000).burst(u32::MAX)]);
    }
    for numbers in all {
        let longest = match algorithm {
            Algorithm::SlidingWindow => numbers.period,
            Algorithm::SlidingWindowCounter => 2 * numbers.period,
            Algorithm::FixedWindow => TEN_YEARS + numbers.period,
            _ => TEN_YEARS,
        };
        let ends = [START, u64::MAX / 2 - TEN_YEARS, u64::MAX / 2, u64::MAX];
        for start in ends {
            let mut subject = Subject::new(algorithm, &[numbers]);
            subject.set(start);
            let owed = subject.check(1);
            assert_eq!(subject.settle(owed, u32::MAX), Settled::Charged);
            for _ in 0..5 {
                let free = subject.check(0);
                assert_eq!(subject.settle(free, u32::MAX), Settled::Charged);
                let charge = subject.check(1);
                assert_eq!(subject.settle(charge, u32::MAX), Settled::Nothing, "it was refused");
                if start == START {
                    subject.pass(1);
                }
            }
            let said = subject.check(1);
            let wait = micros(said.retry_after().unwrap());
            assert!(wait <= longest, "{numbers:?}: {wait} of {longest}");
            assert!(micros(said.quotas()[0].reset_after()) <= longest);
            if start != START {
                continue;
            }
            subject.pass(wait - 1);
            assert!(!subject.check(1).is_allowed(), "{numbers:?}");
            subject.pass(1);
            assert!(subject.check(1).is_allowed(), "{numbers:?}");
        }
    }
}

for_all_six!(no_debt_is_beyond_ten_years);

/// A subject that uses more than it asks for pays for that later: over many periods it gets no more than
/// the limit, apart from what a bucket holds and its last debt. A log and a counter forget what is
/// older than they look back, so they bound what is admitted, and not what was owed.
fn what_is_owed_is_worked_off(algorithm: Algorithm) {
    let numbers = (1_u32..=30, 1_000_u64..=1_000_000);
    let numbers = numbers.prop_map(|(limit, period)| Numbers::new(limit, period));
    let excess = prop::collection::vec(0_u32..=90, 1..=20);
    proptest!(cases(100, 5_000), |(numbers in numbers, excess in excess)| {
        let mut subject = Subject::new(algorithm, &[numbers]);
        let (mut used, mut last) = (0, 0);
        let end = START + 40 * numbers.period;
        for excess in excess.into_iter().cycle() {
            let charge = subject.check(1);
            if let Some(span) = charge.retry_after() {
                subject.pass(micros(span));
                if subject.now >= end {
                    break;
                }
                continue;
            }
            let _ = subject.settle(charge, 1 + excess);
            last = u64::from(excess);
            used += 1 + last;
        }
        let periods = (subject.now - START).div_ceil(numbers.period);
        let most = (periods + 1) * u64::from(numbers.limit) + last + 1;
        prop_assert!(used <= most, "{} of {} in {} periods", used, most, periods);
    });
}

#[test]
fn what_a_fixed_window_owes_is_worked_off() {
    what_is_owed_is_worked_off(Algorithm::FixedWindow);
}

#[test]
fn what_a_bucket_owes_is_worked_off() {
    what_is_owed_is_worked_off(Algorithm::TokenBucket);
    what_is_owed_is_worked_off(Algorithm::Gcra);
}

fn memory(max_keys: usize) -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().max_keys(max_keys).clock(clock.clone()).build();
    (Limiter::new(backend), clock)
}

fn ten(algorithm: Algorithm) -> Policy {
    Policy::new("ten", Quota::per_minute(10)).algorithm(algorithm)
}

async fn remaining(limiter: &Limiter, policy: &Policy, subject: &str) -> u32 {
    limiter.peek(policy, subject, 0).await.unwrap().remaining()
}

#[tokio::test]
async fn a_key_that_is_lost_is_charged_anew() {
    for &algorithm in Algorithm::ALL {
        let policy = ten(algorithm);
        for (actual, settled, left) in [
            (5, Settled::Charged, 8),
            (3, Settled::Unchanged, 10),
            (1, Settled::Nothing, 10),
            (u32::MAX, Settled::Charged, 0),
        ] {
            let (limiter, _clock) = memory(1);
            let charge = limiter.check_cost(&policy, "s", 3).await.unwrap();
            // It pushes the other key out.
            assert!(limiter.check(&policy, "other").await.unwrap().is_allowed());
            assert_eq!(remaining(&limiter, &policy, "s").await, 10);
            assert_eq!(limiter.settle(charge, actual).await.unwrap(), settled, "{algorithm:?}");
            assert_eq!(remaining(&limiter, &policy, "s").await, left, "{algorithm:?}");
        }
    }
}

/// There is no room for the key, so all that come new share what it owes.
#[tokio::test]
async fn a_key_that_finds_no_room_owes_with_all_new_ones() {
    for &algorithm in Algorithm::ALL {
        let policy = ten(algorithm);
        let (limiter, _clock) = memory(1);
        let free = limiter.check_cost(&policy, "s", 0).await.unwrap();
        assert!(limiter.check_cost(&policy, "full", 10).await.unwrap().is_allowed());
        assert!(!limiter.check(&policy, "full").await.unwrap().is_allowed());
        assert_eq!(limiter.settle(free, 4).await.unwrap(), Settled::Charged);
        for subject in ["s", "new"] {
            assert_eq!(remaining(&limiter, &policy, subject).await, 6, "{algorithm:?}");
        }
        assert_eq!(remaining(&limiter, &policy, "full").await, 0);
    }
}

#[tokio::test]
async fn only_who_asks_the_same_store_settles() {
    for &algorithm in Algorithm::ALL {
        let policy = ten(algorithm);
        let backend = Arc::new(MemoryBackend::builder().clock(ManualClock::new()).build());
        let [limiter, same] = [0, 1].map(|_| Limiter::new(Arc::clone(&backend)));
        let (other, _clock) = memory(10);
        let check = async || limiter.check_cost(&policy, "s", 2).await.unwrap();
        for actual in [0, 1, 7] {
            assert_eq!(other.settle(check().await, actual).await.unwrap(), Settled::Nothing);
        }
        assert_eq!(remaining(&limiter, &policy, "s").await, 4);
        assert_eq!(remaining(&other, &policy, "s").await, 10);
        assert_eq!(same.settle(check().await, 1).await.unwrap(), Settled::Refunded);
        assert_eq!(same.settle(check().await, 3).await.unwrap(), Settled::Charged);
        assert_eq!(remaining(&limiter, &policy, "s").await, 0);
    }
}

#[tokio::test]
async fn a_decision_that_charged_nothing_settles_nothing() {
    for &algorithm in Algorithm::ALL {
        let policy = ten(algorithm);
        let backend = MemoryBackend::builder().clock(ManualClock::new()).build();
        let limiter = Limiter::builder(backend).declare(policy.clone()).build();
        let peeked = limiter.peek(&policy, "s", 2).await.unwrap();
        let never = limiter.check_cost(&policy, "s", 11).await.unwrap();
        assert!(limiter.check_cost(&policy, "s", 8).await.unwrap().is_allowed());
        let refused = limiter.check_cost(&policy, "s", 3).await.unwrap();
        let off = Overrides::new().with("ten", Override::new().enabled(false));
        limiter.set_overrides(off).unwrap();
        let disabled = limiter.check_cost(&policy, "s", 1).await.unwrap();
        assert!(disabled.is_allowed());
        limiter.set_overrides(Overrides::new()).unwrap();
        for decision in [peeked, never, refused, disabled] {
            let said = format!("{decision:?}");
            assert_eq!(limiter.settle(decision, 5).await.unwrap(), Settled::Nothing, "{said}");
        }
        assert_eq!(remaining(&limiter, &policy, "s").await, 2);
    }
}

fn far(on_error: OnError) -> (FarStore, Limiter) {
    let store = FarStore::new();
    let limiter = limiter_on(store.clone(), &store.clock).on_error(on_error).build();
    (store, limiter)
}

#[tokio::test]
async fn what_an_outage_decided_stays_as_it_is() {
    for &algorithm in Algorithm::ALL {
        let policy = ten(algorithm);
        for (on_error, source) in [(OnError::Local, Source::Local), (OnError::Open, Source::Open)] {
            let (store, limiter) = far(on_error);
            store.set_fails(true);
            for actual in [0, 1, 9] {
                let charge = limiter.check_cost(&policy, "s", 2).await.unwrap();
                assert_eq!((charge.is_allowed(), charge.source()), (true, source));
                assert_eq!(limiter.settle(charge, actual).await.unwrap(), Settled::Nothing);
            }
            let left = if on_error == OnError::Local { 4 } else { 0 };
            assert_eq!(remaining(&limiter, &policy, "s").await, left, "{algorithm:?}");
            store.set_fails(false);
            assert_eq!(store.peek(&policy, "s", 0).quotas()[0].remaining(), 10);
        }
    }
}

/// The record in the process follows, so that an outage begins with what the store knew.
#[tokio::test]
async fn an_outage_begins_with_what_was_settled() {
    for &algorithm in Algorithm::ALL {
        for (actual, settled) in
            [(1, Settled::Refunded), (7, Settled::Charged), (4, Settled::Unchanged)]
        {
            let (policy, (store, limiter)) = (ten(algorithm), far(OnError::Local));
            let charge = limiter.check_cost(&policy, "s", 4).await.unwrap();
            assert_eq!(charge.source(), Source::Store);
            assert_eq!(limiter.settle(charge, actual).await.unwrap(), settled);
            assert_eq!(remaining(&limiter, &policy, "s").await, 10 - actual);
            store.set_fails(true);
            assert_eq!(remaining(&limiter, &policy, "s").await, 10 - actual, "{algorithm:?}");
        }
    }
}

#[tokio::test]
async fn a_leased_charge_is_settled_at_the_store() {
    let store = FarStore::new();
    let tier = LocalTier::deny_cache().lease(50);
    let limiter = limiter_on(store.clone(), &store.clock).local_tier(tier).build();
    let policy = Policy::new("hot", Quota::per_hour(100_000));
    let mut leased = None;
    while leased.is_none() {
        let charge = limiter.check(&policy, "s").await.unwrap();
        leased = Some(charge).filter(|charge| charge.source() == Source::Lease);
        store.clock.advance(Duration::from_micros(200));
    }
    let in_use = || 100_000 - store.peek(&policy, "s", 0).quotas()[0].remaining();
    let before = in_use();
    assert_eq!(limiter.settle(leased.unwrap(), 8).await.unwrap(), Settled::Charged);
    assert_eq!(in_use(), before + 7);
}

/// A decision is settled once, since it is given away and cannot be copied: with a `Clone` there
/// would be two answers here, and this would not compile.
#[test]
fn a_decision_cannot_be_copied() {
    trait IsOne<Which> {
        fn is_one() -> bool {
            true
        }
    }
    impl<T> IsOne<()> for T {}
    impl<T: Clone> IsOne<u8> for T {}
    assert!(<Decision as IsOne<_>>::is_one());
}
