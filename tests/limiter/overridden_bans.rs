//! Rules for bans by override: set, changed and taken away, for all subjects and for one.

use std::time::Duration;

use support::log::Log;
use tollgate::testing::ManualClock;
use tollgate::{
    Ban, Limiter, LimiterBuilder, MemoryBackend, Outcome, Override, Overrides, PerSubject, Policy,
    Quota,
};
use tracing::Level;

use crate::bans::{SECOND, banned_for, check, is_banned};

/// One request an hour.
const ONE: Policy = Policy::new("one", Quota::per_hour(1));
const RULE: Ban = Ban::new(3, Duration::from_secs(10));

fn builder(clock: &ManualClock) -> LimiterBuilder {
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    Limiter::builder(backend).clock(clock.clone()).declare(ONE)
}

fn set(limiter: &Limiter, changes: Override) {
    limiter.set_overrides(Overrides::new().with("one", changes)).unwrap();
}

#[test]
fn a_rule_is_set_and_changed_and_taken_away() {
    let clock = ManualClock::new();
    let limiter = builder(&clock).build();
    let outcome = || check(&limiter, &ONE, "s").outcome();
    let is_refused = || matches!(outcome(), Outcome::Refused { .. });
    assert_eq!(outcome(), Outcome::Allowed);
    assert!((0..10).all(|_| is_refused()), "there is no rule, so nothing was counted");

    set(&limiter, Override::new().ban(RULE));
    assert!(is_refused() && is_refused());
    assert_eq!(outcome(), banned_for(10 * SECOND));
    clock.advance(10 * SECOND);

    // Two refusals that were counted under one rule count under the next.
    assert!(is_refused() && is_refused());
    set(&limiter, Override::new().ban(Ban::new(3, 20 * SECOND).grow(3)));
    assert_eq!(outcome(), banned_for(60 * SECOND), "it is the second ban");

    // A ban that is under way stays until its end, or until somebody ends it.
    set(&limiter, Override::new().ban(None));
    assert_eq!(outcome(), banned_for(60 * SECOND));
    clock.advance(60 * SECOND);
    assert!((0..10).all(|_| is_refused()));
}

#[test]
fn a_declared_rule_is_switched_off() {
    let clock = ManualClock::new();
    let declared = ONE.ban(RULE);
    let limiter = Limiter::builder(MemoryBackend::builder().clock(clock.clone()).build());
    let limiter = limiter.clock(clock).declare(declared.clone()).build();
    set(&limiter, Override::new().ban(None));
    assert!((0..20).all(|_| !is_banned(&check(&limiter, &declared, "s"))));
    // Another setting leaves the rule as it is declared.
    set(&limiter, Override::new().limit(2));
    let banned = (0..20).filter(|_| is_banned(&check(&limiter, &declared, "s")));
    assert_eq!(banned.count(), 20 - 3, "one more is admitted, two are refused");
}

#[test]
fn one_subject_has_a_rule_of_its_own() {
    let clock = ManualClock::new();
    let subjects = PerSubject::new(|_, subject| match subject {
        "strict" => Some(Override::new().ban(Ban::new(1, Duration::from_secs(5)))),
        "free" => Some(Override::new().ban(None)),
        _ => None,
    });
    let limiter = builder(&clock).per_subject(subjects).build();
    set(&limiter, Override::new().ban(RULE));
    let outcomes = |subject: &str| [0; 5].map(|_| is_banned(&check(&limiter, &ONE, subject)));
    assert_eq!(outcomes("strict"), [false, true, true, true, true]);
    assert_eq!(outcomes("other"), [false, false, false, true, true]);
    assert_eq!(outcomes("free"), [false; 5]);
}

/// An override that cannot be applied still bans whom it or the policy would, for as long as either.
#[test]
fn a_rule_beside_a_mistake_is_not_lost() {
    let wrong = || Override::new().per(Duration::ZERO);
    let own = Ban::new(4, 10 * SECOND).grow(2).most(40 * SECOND);
    for (declared, changes, expected) in [
        (None, wrong(), None),
        (Some(own), wrong(), Some(own)),
        (Some(own), wrong().ban(None), Some(own)),
        (None, wrong().ban(own), Some(own)),
        (
            Some(own),
            wrong().ban(Ban::new(2, 5 * SECOND).grow(3).most(90 * SECOND)),
            Some(Ban::new(2, 10 * SECOND).grow(3).most(90 * SECOND)),
        ),
        (
            Some(own),
            wrong().ban(Ban::new(9, 20 * SECOND)),
            Some(Ban::new(4, 20 * SECOND).grow(2).most(320 * SECOND)),
        ),
    ] {
        let declared = declared.map_or(ONE, |rule| ONE.ban(rule));
        let (log, _guard) = Log::of_this_thread(Level::ERROR);
        // What a limiter says of itself, and what one says that has the expected rule.
        let said = |policy: &Policy, changes: Option<Override>| {
            let clock = ManualClock::new();
            let backend = MemoryBackend::builder().clock(clock.clone()).build();
            let limiter = Limiter::builder(backend).clock(clock.clone());
            let limiter = limiter.per_subject(PerSubject::new(move |_, _| changes.clone())).build();
            let mut said = Vec::new();
            for _ in 0..40 {
                said.push(check(&limiter, policy, "s").outcome());
                clock.advance(7 * SECOND);
            }
            said
        };
        let rule = expected.map_or(ONE, |rule| ONE.ban(rule));
        assert_eq!(said(&declared, Some(changes.clone())), said(&rule, None), "{changes}");
        assert!(log.text().contains("a subject's override is invalid"), "{changes}");
    }
}

#[test]
fn the_audit_log_names_the_rule() {
    let written = |changes: Override| changes.to_string();
    assert_eq!(written(Override::new().ban(RULE)), "ban=[after 3 for 10s]");
    assert_eq!(written(Override::new().ban(None)), "ban=false");
    let rule = Ban::new(1, 90 * SECOND).grow(2).most(7_200 * SECOND);
    assert_eq!(
        written(Override::new().limit(3).ban(rule)),
        "limit=3 ban=[after 1 for 1m30s grow 2 most 2h]"
    );
}
