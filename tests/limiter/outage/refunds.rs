//! Refunds of decisions that were made during outages, beside a naive ledger.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tollgate::testing::ManualClock;
use tollgate::{Decision, Limiter, LocalTier, OnError, Policy, Quota, Source};

use super::store::{Health, Store};
use support::scaled;

const LIMIT: u32 = 100_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Check {
        subject: usize,
        cost: u32,
    },
    /// Refunds one of the decisions so far.
    Refund(prop::sample::Index),
    Becomes(Health),
    Reset(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let health = vec![Health::Well, Health::Well, Health::Down, Health::Mute, Health::Lost];
    prop_oneof![
        6 => (0_usize..2, 1_u32..=20).prop_map(|(subject, cost)| Step::Check { subject, cost }),
        4 => any::<prop::sample::Index>().prop_map(Step::Refund),
        3 => prop::sample::select(health).prop_map(Step::Becomes),
        1 => (0_usize..2).prop_map(Step::Reset),
    ]
}

/// A decision that can be refunded.
struct Entry {
    subject: usize,
    cost: u32,
    decision: Decision,
    /// The store has charged it and will keep it, whatever a local refund says.
    is_lost: bool,
    /// The store does not know of it, and never will.
    is_unknown: bool,
}

struct Seen {
    refunded: u32,
    kept: u32,
}

async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

async fn adds_up(steps: &[Step]) -> Result<Seen, TestCaseError> {
    const SUBJECTS: [&str; 2] = ["a", "b"];
    let clock = ManualClock::new();
    let store = Store::new(&clock);
    let builder = Limiter::builder(store.clone()).clock(clock.clone()).instances(1);
    let builder = builder.breaker(None).local_tier(LocalTier::none());
    let limiter = builder.on_error(OnError::Local).build();
    let policy = Policy::new("p", Quota::new(LIMIT, Duration::from_secs(86_400)));
    let mut ledger = [0_u32; 2];
    let mut entries: Vec<Entry> = Vec::new();
    let mut seen = Seen { refunded: 0, kept: 0 };
    let mut health = Health::Well;
    for step in steps {
        match *step {
            Step::Check { subject, cost } => {
                let decision = limiter.check_cost(&policy, SUBJECTS[subject], cost).await.unwrap();
                prop_assert!(decision.is_allowed());
                let is_local = decision.source() == Source::Local;
                prop_assert_eq!(is_local, health != Health::Well);
                let (is_lost, is_unknown) = (health == Health::Mute, health == Health::Lost);
                ledger[subject] += if is_unknown { 0 } else { cost };
                entries.push(Entry { subject, cost, decision, is_lost, is_unknown });
            }
            Step::Refund(_) if entries.is_empty() => {}
            Step::Refund(index) => {
                let entry = entries.swap_remove(index.index(entries.len()));
                let is_local = entry.decision.source() == Source::Local;
                match limiter.refund(entry.decision).await {
                    Ok(true) => {
                        seen.refunded += 1;
                        let counts = !entry.is_lost && !entry.is_unknown;
                        ledger[entry.subject] -= if counts { entry.cost } else { 0 };
                    }
                    Ok(false) => seen.kept += 1,
                    // The store could not be asked. If it did what it was asked, nobody knows.
                    Err(_) => {
                        prop_assert!(!is_local && health != Health::Well);
                        let executed = health == Health::Mute;
                        ledger[entry.subject] -= if executed { entry.cost } else { 0 };
                    }
                }
            }
            Step::Becomes(next) => {
                health = next;
                store.is(health);
            }
            Step::Reset(_) if health != Health::Well => {}
            Step::Reset(subject) => {
                limiter.reset(&policy, SUBJECTS[subject]).await.unwrap();
                ledger[subject] = 0;
                entries.retain(|entry| entry.subject != subject);
            }
        }
        settle().await;
        // The refunded charges are in no bucket of another instant.
        clock.advance(Duration::from_micros(1));
    }
    store.is(Health::Well);
    for _ in 0..2 {
        let _ = limiter.peek(&policy, "c", 0).await.unwrap();
        settle().await;
    }
    for (subject, expected) in SUBJECTS.iter().zip(ledger) {
        let used = LIMIT - limiter.peek(&policy, subject, 0).await.unwrap().remaining();
        prop_assert_eq!(used, expected, "{}", subject);
    }
    Ok(seen)
}

/// The store ends with what was admitted and not refunded: a refund that says `true` is not
/// charged any more, one that says `false` is, and no refund takes another decision's charge away.
#[test]
fn the_store_counts_what_was_not_refunded() {
    let cases = scaled(1_500, 60_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let totals = std::cell::Cell::new((0, 0));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let traces = prop::collection::vec(step(), 1..=40);
    let result = TestRunner::new(config).run(&traces, |steps| {
        let seen = runtime.block_on(adds_up(&steps))?;
        let (refunded, kept) = totals.get();
        totals.set((refunded + seen.refunded, kept + seen.kept));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let (refunded, kept) = totals.get();
    println!("{cases} traces: {refunded} refunded, {kept} kept");
    assert!(refunded > cases && kept > 0);
}
