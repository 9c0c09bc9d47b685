//! Units that a key wins back because a flood of new keys pushes it out of a full memory backend.

use std::time::Duration;

use support::scaled;
use tollgate::testing::ManualClock;
use tollgate::{Limiter, MemoryBackend, Policy, Quota};

const DAY: Duration = Duration::from_secs(86_400);

struct Flooded {
    limiter: Limiter,
    own: Policy,
    /// The units that the key has used, in all.
    admitted: u32,
}

impl Flooded {
    fn new(max_keys: usize, limit: u32) -> Self {
        let builder = MemoryBackend::builder().max_keys(max_keys).clock(ManualClock::new());
        let own = Policy::new("own", Quota::new(limit, DAY));
        Self { limiter: Limiter::new(builder.build()), own, admitted: 0 }
    }

    /// Charges units one by one.
    fn charge(&self, policy: &Policy, subject: &str, units: u32) -> u32 {
        let check = || self.limiter.check_now(policy, subject, 1).unwrap().unwrap().is_allowed();
        (0..units).map(|_| u32::from(check())).sum()
    }

    fn use_own(&mut self, units: u32) {
        self.admitted += self.charge(&self.own, "me", units);
    }

    fn own_remaining(&self) -> u32 {
        self.limiter.check_now(&self.own, "me", 0).unwrap().unwrap().remaining()
    }
}

/// The cheap way: the store is full of keys that have used up a small limit with one request each
/// and that nothing pushes out. Returns the units that the own key has used in all, of `limit`.
fn by_pinned_keys(max_keys: usize, limit: u32, pin: u32, new_keys: usize) -> u32 {
    let mut flooded = Flooded::new(max_keys, limit);
    flooded.use_own(limit - 1);
    let pinned = Policy::new("pinned", Quota::new(pin, DAY));
    for subject in 1..max_keys {
        flooded.charge(&pinned, &subject.to_string(), pin);
    }
    let loose = Policy::new("loose", Quota::new(1_000_000, DAY));
    for subject in 0..new_keys {
        flooded.charge(&loose, &subject.to_string(), 1);
        if flooded.own_remaining() > 1 {
            flooded.use_own(limit - 1);
        }
    }
    flooded.use_own(limit);
    flooded.admitted
}

#[test]
fn keys_that_cannot_go_push_no_other_out() {
    for max_keys in [2, 3, 64, 1_000, scaled(1_000, 20_000) as usize] {
        for pin in [1, 2, 50] {
            let admitted = by_pinned_keys(max_keys, 100, pin, 12 * max_keys.max(100));
            println!("max_keys {max_keys}, {pin} of {pin} a day: {admitted} of 100");
            assert_eq!(admitted, 100, "max_keys {max_keys}, pin {pin}");
        }
    }
}

/// The same with keys that could go and have used up half of a small limit.
#[test]
fn keys_that_have_won_little_go_before_one_that_has_used_much() {
    for (limit, others) in [(100, 2), (1_000_000, 3), (40, 2)] {
        let mut flooded = Flooded::new(1_000, limit);
        let used = limit.min(1_000) * 2 / 5;
        flooded.use_own(used);
        let strict = Policy::new("strict", Quota::new(others, DAY));
        for subject in 0..8_000 {
            flooded.charge(&strict, &subject.to_string(), 1);
        }
        assert_eq!(flooded.own_remaining(), limit - used, "{limit} {others}");
    }
}

/// The dear way: a flood that uses `each` units on every key. Returns the units that the own key
/// wins back.
fn by_used_keys(max_keys: usize, limit: u32, used: u32, each: u32, floods: usize) -> u32 {
    let mut flooded = Flooded::new(max_keys, limit);
    let policy = Policy::new("own", Quota::new(limit, DAY));
    for subject in 1..max_keys {
        flooded.charge(&policy, &subject.to_string(), each);
    }
    flooded.use_own(used);
    for subject in 0..max_keys * floods {
        flooded.charge(&policy, &format!("new {subject}"), each);
    }
    (flooded.own_remaining() + used).saturating_sub(limit)
}

/// A flood wins units only by using at least as many on each of its keys.
#[test]
fn to_win_units_a_flood_uses_as_many_on_each_key() {
    let runs = scaled(10, 100);
    for (limit, used, each) in [
        (10, 5, 1),
        (10, 5, 4),
        (10, 5, 5),
        (10, 5, 9),
        (10, 5, 10),
        (5, 4, 2),
        (5, 4, 4),
        (100, 99, 50),
    ] {
        let won = [1, 2, 8].map(|floods| {
            let won: u32 = (0..runs).map(|_| by_used_keys(64, limit, used, each, floods)).sum();
            f64::from(won) / f64::from(runs)
        });
        println!("{used} of {limit} used, {each} on each key: {won:.1?} at 1, 2, 8 × max_keys");
        assert!(each >= used || won == [0.0; 3], "{used} of {limit}, {each} each: {won:?}");
        assert!(won.iter().all(|won| *won <= f64::from(used)));
    }
}
