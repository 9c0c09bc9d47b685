//! The memory backend holds at most as many keys as it may, forgets what it may, and never
//! lets anybody in because it was full.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use support::scaled;
use tollgate::backend::{Answer, Operation, Verdict};
use tollgate::testing::ManualClock;
use tollgate::{Backend, BackendError, Check, Limiter, MemoryBackend, Policy, Quota};

const MINUTE: Duration = Duration::from_secs(60);

fn backend(max_keys: usize) -> (Limiter, Arc<MemoryBackend>, ManualClock) {
    let clock = ManualClock::new();
    let builder = MemoryBackend::builder().max_keys(max_keys).clock(clock.clone());
    let backend = Arc::new(builder.build());
    (Limiter::new(backend.clone()), backend, clock)
}

fn admits(limiter: &Limiter, policy: &Policy, subject: &str) -> bool {
    limiter.check_now(policy, subject, 1).unwrap().unwrap().is_allowed()
}

#[test]
fn a_flood_of_keys_stays_within_the_bound() {
    for max_keys in [1, 7, 300, 1_000, 20_000] {
        let (limiter, backend, _clock) = backend(max_keys);
        let policy = Policy::new("flood", Quota::new(10, MINUTE));
        for subject in 0..max_keys * 3 {
            let _ = admits(&limiter, &policy, &subject.to_string());
            assert!(
                backend.stats().keys <= max_keys,
                "{} keys of {max_keys}",
                backend.stats().keys
            );
        }
        assert!(
            backend.stats().keys > max_keys / 2,
            "only {} keys of {max_keys}",
            backend.stats().keys
        );
    }
}

#[test]
fn expired_keys_are_collected_as_others_are_charged() {
    let (limiter, backend, clock) = backend(250);
    let policy = Policy::new("short", Quota::new(1_000, MINUTE));
    for subject in 0..200 {
        assert!(admits(&limiter, &policy, &subject.to_string()));
    }
    assert_eq!(backend.stats().keys, 200);
    clock.advance(MINUTE);
    // So many that every shard is visited again and again.
    for visit in 0..32_000 {
        let before = backend.stats().keys;
        assert!(admits(&limiter, &policy, &format!("later {}", visit % 100)));
        assert!(backend.stats().keys + 4 >= before, "a check collects four keys at most");
        clock.advance(Duration::from_micros(1));
    }
    assert_eq!(backend.stats().keys, 100);
}

#[test]
fn a_flood_readmits_nobody_who_is_being_refused() {
    let (limiter, backend, _clock) = backend(2_000);
    let strict = Policy::new("strict", Quota::new(1, MINUTE));
    let loose = Policy::new("loose", Quota::new(1_000, MINUTE));
    let refused: Vec<String> = (0..500).map(|number| format!("refused {number}")).collect();
    for subject in &refused {
        assert!(admits(&limiter, &strict, subject));
        assert!(!admits(&limiter, &strict, subject));
    }
    for subject in 0..20_000 {
        assert!(admits(&limiter, &loose, &subject.to_string()));
    }
    assert_eq!(refused.iter().filter(|subject| admits(&limiter, &strict, subject)).count(), 0);
    assert_eq!(backend.stats().overflowed, 0);
}

/// A big request that was refused counts as being refused although a small one would pass.
#[test]
fn a_key_that_refuses_a_large_cost_stays() {
    let (limiter, _backend, _clock) = backend(100);
    let policy = Policy::new("bulk", Quota::new(1_000, MINUTE));
    let small = Policy::new("small", Quota::new(10, MINUTE));
    let check = |cost| limiter.check_now(&policy, "bulk", cost).unwrap().unwrap();
    assert!(check(1).is_allowed());
    assert!(!check(1_000).is_allowed());
    for subject in 0..1_000 {
        let _ = admits(&limiter, &small, &subject.to_string());
    }
    assert!(!check(1_000).is_allowed());
}

#[test]
fn the_least_used_goes_first() {
    let (limiter, _backend, _clock) = backend(16);
    let policy = Policy::new("mixed", Quota::new(10, MINUTE));
    for subject in 0..16_u32 {
        for _ in 0..if subject == 9 { 1 } else { 5 } {
            assert!(admits(&limiter, &policy, &subject.to_string()));
        }
    }
    assert!(admits(&limiter, &policy, "new"));
    let remaining = |subject: u32| {
        let subject = subject.to_string();
        let decision = limiter.check_now(&policy, &subject, 0).unwrap().unwrap();
        decision.remaining()
    };
    let expected: Vec<u32> = (0..16).map(|subject| if subject == 9 { 10 } else { 5 }).collect();
    assert_eq!((0..16).map(remaining).collect::<Vec<_>>(), expected);
}

#[test]
fn when_everybody_is_refused_new_subjects_share_one_counter() {
    let (limiter, backend, clock) = backend(50);
    let policy = Policy::new("strict", Quota::new(3, MINUTE));
    let other = Policy::new("other", Quota::new(2, MINUTE));
    for subject in 0..50 {
        while admits(&limiter, &policy, &subject.to_string()) {}
    }
    let newcomers = || (100..200).map(|subject: u32| subject.to_string());
    let admitted = newcomers().filter(|subject| admits(&limiter, &policy, subject)).count();
    assert_eq!(admitted, 3, "over-refusal, never over-admission");
    let admitted = newcomers().filter(|subject| admits(&limiter, &other, subject)).count();
    assert_eq!(admitted, 2, "each policy has a counter of its own");
    assert_eq!((backend.stats().keys, backend.stats().overflowed), (50, 200));
    // The shared counter recovers, and so do the keys.
    clock.advance(MINUTE);
    assert_eq!(newcomers().filter(|subject| admits(&limiter, &policy, subject)).count(), 100);
}

#[test]
fn peeks_refusals_and_free_requests_of_strangers_take_no_room() {
    let (limiter, backend, _clock) = backend(100);
    let policy = Policy::new("p", Quota::new(1, MINUTE));
    assert!(limiter.check_now(&policy, "free", 0).unwrap().unwrap().is_allowed());
    assert!(!limiter.check_now(&policy, "too large", 2).unwrap().unwrap().is_allowed());
    assert!(backend.stats().keys == 0);
}

/// Eight threads on one key and on many: with time standing still, exactly the limit.
#[test]
fn threads_share_a_limit_exactly() {
    const THREADS: u32 = 8;
    for keys in [1, 1_000] {
        for _ in 0..scaled(5, 100) {
            let (limiter, _backend, _clock) = backend(100_000);
            let policy = Policy::new("threads", Quota::new(20, MINUTE));
            let barrier = Barrier::new(THREADS as usize);
            let admitted: u32 = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS)
                    .map(|_| {
                        scope.spawn(|| {
                            barrier.wait();
                            let subjects = (0..keys * 5).map(|number| (number % keys).to_string());
                            subjects
                                .map(|subject| u32::from(admits(&limiter, &policy, &subject)))
                                .sum::<u32>()
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(admitted, 20 * keys);
        }
    }
}

/// A policy that gains or loses quotas keeps what has been counted.
#[test]
fn counters_survive_a_change_of_quotas() {
    let (limiter, _backend, _clock) = backend(10);
    let quota = |limit| Quota::new(limit, MINUTE);
    let decide = |policy: &Policy| -> Vec<u32> {
        let decision = limiter.check_now(policy, "subject", 1).unwrap().unwrap();
        decision.quotas().iter().map(tollgate::QuotaState::remaining).collect()
    };
    assert_eq!(decide(&Policy::new("p", quota(10))), [9]);
    assert_eq!(decide(&Policy::new("p", quota(10)).and(quota(5))), [8, 3]);
    assert_eq!(decide(&Policy::new("p", quota(3)).and(quota(5))), [0, 2]);
    assert_eq!(decide(&Policy::new("p", quota(3))), [0]);
    assert_eq!(decide(&Policy::new("p", quota(4))), [0]);
}

/// The answers come in the order of the batch.
#[tokio::test]
async fn a_batch_is_answered_in_order() {
    let backend = MemoryBackend::builder().clock(ManualClock::new()).build();
    let policy = Policy::new("batch", Quota::new(2, MINUTE));
    let check = Check::new(&policy, "s", 1);
    let [charge, peek] = [Operation::charge(check), Operation::peek(check.with_cost(2))];
    let batch = [charge, peek, charge, charge, Operation::reset(check), charge];
    let answers = backend.apply(&batch).await;
    let allowed = |answer: &Result<Answer, BackendError>| match answer.as_ref().unwrap() {
        Answer::Verdict(verdict) => Some(verdict.outcome() == tollgate::Outcome::Allowed),
        _ => None,
    };
    let expected = [Some(true), Some(false), Some(true), Some(false), None, Some(true)];
    assert_eq!(answers.iter().map(allowed).collect::<Vec<_>>(), expected);
    let stamp = match answers.last().unwrap().as_ref().unwrap() {
        Answer::Verdict(verdict) => Verdict::stamp_micros(verdict),
        other => panic!("{other:?}"),
    };
    let refund = Operation::refund(check, stamp);
    // More than was charged is not a refund of that charge, nor is one at another time.
    let too_much = Operation::refund(check.with_cost(2), stamp);
    let elsewhen = Operation::refund(check, stamp - 1);
    let answers = backend.apply(&[too_much, elsewhen, refund, refund]).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, [false, false, true, false].map(Answer::Refunded));
}
