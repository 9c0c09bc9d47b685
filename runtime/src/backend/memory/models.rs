//! Models of the memory store: the life of a slot, the permits and the bans, with few keys, threads and
//! shards, so that nearly every step of one thread meets one of another.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shuttle::thread;

use super::{MemoryBackend, PaddedShard, lock};
use crate::Algorithm::{FixedWindow, Gcra, SlidingWindow};
use crate::backend::store::Permits as _;
use crate::exploration::{SteppedClock, explore};
use crate::micros::TimeSpan;
use crate::{Algorithm, Check, InFlight, Policy, Quota};

const MINUTE: Duration = Duration::from_secs(60);
/// The limit of the policies: a key with one unit in use can be evicted, one with two refuses requests.
const LIMIT: u32 = 2;

fn policy(algorithm: Algorithm) -> Policy {
    Policy::new("p", Quota::new(LIMIT, MINUTE)).algorithm(algorithm)
}

/// Returns a backend whose number of shards does not follow from that of its keys.
fn backend(max_keys: usize, shards: usize) -> (MemoryBackend, SteppedClock) {
    let clock = SteppedClock::new();
    let mut backend = MemoryBackend::builder().max_keys(max_keys).clock(clock.clone()).build();
    backend.shards = (0..shards).map(|_| PaddedShard::default()).collect();
    (backend, clock)
}

/// Returns `number` subjects whose keys are in a shard.
fn subjects(backend: &MemoryBackend, shard: usize, number: usize, policy: &Policy) -> Vec<String> {
    let is_there = |subject: &String| {
        let (_, hash) = backend.hasher.of(&Check::new(policy, subject, 1));
        (hash >> 32) as usize & (backend.shards.len() - 1) == shard
    };
    (0..).map(|number: u32| number.to_string()).filter(is_there).take(number).collect()
}

/// The numbers of admissions that a model counts. They are no step of it.
#[derive(Default)]
struct Admitted([AtomicU32; 3]);

impl Admitted {
    /// Charges one unit, and counts it for the subject with this number. Returns its stamp if it is
    /// admitted.
    fn charge(&self, backend: &MemoryBackend, check: &Check<'_>, number: usize) -> Option<u64> {
        let mut verdict = crate::verdict::Verdict::open();
        backend.charge(check, &mut verdict).unwrap();
        assert_within(backend);
        verdict.is_allowed().then(|| {
            self.0[number].fetch_add(1, Ordering::Relaxed);
            verdict.stamp_micros()
        })
    }

    fn of(&self, number: usize) -> u32 {
        self.0[number].load(Ordering::Relaxed)
    }

    /// Asserts that each subject was admitted as often as its limit is, but for the units that the
    /// evictions have won back: of each evicted key fewer than the limit, because it did not refuse.
    fn assert_bound(&self, backend: &MemoryBackend) {
        let beyond: u32 = (0..3).map(|number| self.of(number).saturating_sub(LIMIT)).sum();
        let evicted = backend.stats().evicted;
        assert!(u64::from(beyond) <= evicted * u64::from(LIMIT - 1), "{beyond} by {evicted}");
    }
}

fn assert_within(backend: &MemoryBackend) {
    let keys = backend.stats().keys;
    assert!(keys <= backend.max_keys, "{keys} keys");
}

/// Asserts that the count of keys is that of the slots, after all threads have ended.
fn assert_counted(backend: &MemoryBackend) {
    assert_within(backend);
    let slots: usize = backend.shards.iter().map(|shard| lock(&shard.0).slots()).sum();
    assert_eq!(backend.stats().keys, slots);
}

fn charges_are_counted_one_by_one(algorithm: Algorithm) {
    let (backend, _clock) = backend(2, 1);
    let (policy, admitted) = (policy(algorithm), Admitted::default());
    let check = Check::new(&policy, "a", 1);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| admitted.charge(&backend, &check, 0));
        }
    });
    assert_eq!(admitted.of(0), LIMIT);
    assert_counted(&backend);
}

#[test]
fn charges_of_a_line_are_counted_one_by_one() {
    explore(|| charges_are_counted_one_by_one(FixedWindow));
}

#[test]
fn charges_of_half_a_line_are_counted_one_by_one() {
    explore(|| charges_are_counted_one_by_one(Gcra));
}

/// Three subjects want one or two places. One of them is charged until it is refused, and stays refused.
fn a_key_that_refuses_is_not_evicted(max_keys: usize) {
    let (backend, _clock) = backend(max_keys, 1);
    let (policy, admitted) = (policy(Gcra), Admitted::default());
    let check = |subject| Check::new(&policy, subject, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let is_refused = (0..5).any(|_| admitted.charge(&backend, &check("a"), 0).is_none());
            let is_admitted = admitted.charge(&backend, &check("a"), 0).is_some();
            assert!(!is_refused || !is_admitted, "it was refused before");
        });
        for (subject, number) in [("b", 1), ("c", 2)] {
            let (backend, admitted) = (&backend, &admitted);
            scope.spawn(move || {
                admitted.charge(backend, &check(subject), number);
                admitted.charge(backend, &check(subject), number);
            });
        }
    });
    admitted.assert_bound(&backend);
    assert_counted(&backend);
}

#[test]
fn a_key_that_refuses_keeps_the_only_place() {
    explore(|| a_key_that_refuses_is_not_evicted(1));
}

#[test]
fn a_key_that_refuses_keeps_one_of_two_places() {
    explore(|| a_key_that_refuses_is_not_evicted(2));
}

/// New keys come in two shards at the same time, and there is room for two.
#[test]
fn the_keys_of_all_shards_are_counted_together() {
    explore(|| {
        let (backend, _clock) = backend(2, 2);
        let (policy, admitted) = (policy(Gcra), Admitted::default());
        let [first, second] = [0, 1].map(|shard| subjects(&backend, shard, 2, &policy));
        thread::scope(|scope| {
            for (number, subject) in [&first[0], &second[0], &second[1]].into_iter().enumerate() {
                let (backend, policy, admitted) = (&backend, &policy, &admitted);
                scope.spawn(move || {
                    admitted.charge(backend, &Check::new(policy, subject, 1), number)
                });
            }
        });
        assert_eq!([0, 1, 2].map(|number| admitted.of(number)), [1; 3]);
        assert_counted(&backend);
    });
}

/// Each shard has one key. In both come new ones at the same time, so that a thread may look for room in
/// the shard of another one that does the same. Meanwhile one of the keys becomes one that refuses.
#[test]
fn a_new_key_takes_room_from_another_shard() {
    explore(|| {
        let (backend, _clock) = backend(2, 2);
        let (policy, admitted) = (policy(FixedWindow), Admitted::default());
        let [first, second] = [0, 1].map(|shard| subjects(&backend, shard, 2, &policy));
        let check = |subject| Check::new(&policy, subject, 1);
        let full = check(&first[0]);
        admitted.charge(&backend, &full, 0);
        admitted.charge(&backend, &full, 0);
        admitted.charge(&backend, &check(&second[0]), 1);
        thread::scope(|scope| {
            scope.spawn(|| {
                admitted.charge(&backend, &check(&first[1]), 2);
                assert!(admitted.charge(&backend, &full, 0).is_none(), "it refuses");
            });
            scope.spawn(|| admitted.charge(&backend, &check(&second[0]), 1));
            scope.spawn(|| {
                let other = Admitted::default();
                other.charge(&backend, &check(&second[1]), 0);
                other.charge(&backend, &check(&second[1]), 0);
            });
        });
        admitted.assert_bound(&backend);
        assert_eq!(admitted.of(0), LIMIT);
        assert_counted(&backend);
    });
}

/// Keys are replenished while they are charged, collected by other keys, and reset.
#[test]
fn collections_and_resets_keep_the_count() {
    explore(|| {
        let (backend, clock) = backend(3, 1);
        let (policy, admitted) = (policy(SlidingWindow), Admitted::default());
        let check = |subject| Check::new(&policy, subject, 1);
        thread::scope(|scope| {
            scope.spawn(|| {
                admitted.charge(&backend, &check("a"), 0);
                clock.advance(MINUTE);
                admitted.charge(&backend, &check("b"), 1);
                admitted.charge(&backend, &check("b"), 1);
            });
            scope.spawn(|| {
                admitted.charge(&backend, &check("b"), 1);
                admitted.charge(&backend, &check("c"), 2);
                backend.reset(&check("c"));
                backend.reset(&check("a"));
            });
            scope.spawn(|| {
                admitted.charge(&backend, &check("c"), 2);
                backend.reset(&check("c"));
            });
        });
        assert!(admitted.of(1) <= 3);
        assert_counted(&backend);
        for subject in ["d", "e"] {
            clock.advance(MINUTE * 3);
            admitted.charge(&backend, &check(subject), 0);
        }
        assert_counted(&backend);
    });
}

/// The same subject is charged under forms of a policy whose states have other places, and refunded.
#[test]
fn a_change_of_form_admits_no_more() {
    explore(|| {
        let (backend, _clock) = backend(2, 1);
        let (policies, admitted) = ([Gcra, FixedWindow].map(policy), Admitted::default());
        let refunded = AtomicU32::new(0);
        let [half, line] = policies.each_ref().map(|policy| Check::new(policy, "a", 1));
        thread::scope(|scope| {
            scope.spawn(|| {
                admitted.charge(&backend, &half, 0);
                // A cost that does not fit into half a line when it is refused.
                admitted.charge(&backend, &half.with_cost(2), 1);
            });
            scope.spawn(|| {
                admitted.charge(&backend, &line, 0);
                admitted.charge(&backend, &half, 0);
            });
            scope.spawn(|| {
                if let Some(stamp) = admitted.charge(&backend, &line, 0)
                    && backend.refund(&line, stamp, false)
                {
                    refunded.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        let units = admitted.of(0) + 2 * admitted.of(1);
        let refunded = refunded.into_inner();
        assert!(units - refunded <= LIMIT, "{units} admitted, {refunded} refunded");
        assert!(units >= LIMIT);
        assert_counted(&backend);
    });
}

/// The bound on bans holds, and a subject is banned if and only if it is in the list, by which a ban
/// gives way to others.
#[test]
fn the_list_of_bans_has_those_in_force() {
    explore(|| {
        let (backend, _clock) = backend(4, 1);
        let policy = policy(FixedWindow);
        let check = |subject| Check::new(&policy, subject, 1);
        let span = TimeSpan::from_duration(MINUTE);
        thread::scope(|scope| {
            scope.spawn(|| {
                backend.ban(&check("a"), span.saturating_mul(4)).unwrap();
                backend.ban(&check("a"), span).unwrap();
            });
            scope.spawn(|| {
                backend.unban(&check("a"));
                // It ends no earlier if it is banned for longer already.
                backend.ban(&check("b"), span).unwrap();
            });
            scope.spawn(|| {
                backend.ban(&check("b"), span.saturating_mul(2)).unwrap();
                backend.ban(&check("c"), span.saturating_mul(3)).unwrap();
            });
        });
        let now = backend.now();
        let banned = ["a", "b", "c"].into_iter().filter(|subject| {
            let check = check(subject);
            let mut locked = backend.lock_shard(&check);
            locked.find().is_some_and(|place| locked.banned_until(place, now).is_some())
        });
        let banned: Vec<&str> = banned.collect();
        let mut listed = backend.cold.bans.subjects();
        listed.sort();
        assert_eq!(listed, banned);
        assert!(banned.len() <= 2 && banned.contains(&"c"), "{banned:?}");
        assert_counted(&backend);
    });
}

/// No more permits are held than the limit says, and none is left when all were released.
#[test]
fn permits_are_given_and_released() {
    explore(|| {
        let (backend, _clock) = backend(2, 1);
        let policy = policy(FixedWindow).in_flight(InFlight::new(1));
        let check = Check::new(&policy, "a", 1);
        let (held, admitted) = (AtomicU32::new(0), Admitted::default());
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    if admitted.charge(&backend, &check, 0).is_some() {
                        assert_eq!(held.fetch_add(1, Ordering::Relaxed), 0);
                        thread::yield_now();
                        held.fetch_sub(1, Ordering::Relaxed);
                        backend.release(&check);
                    }
                });
            }
        });
        assert!((1..=LIMIT).contains(&admitted.of(0)));
        backend.each_held(&mut |_, held| panic!("{held} permits are left"));
        let before = admitted.of(0);
        let is_admitted = admitted.charge(&backend, &check, 0).is_some();
        assert_eq!(is_admitted, before < LIMIT, "who finds no permit takes no unit");
    });
}
