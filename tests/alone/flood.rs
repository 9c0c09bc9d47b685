//! Somebody sends ever new keys: memory stays bounded, who is refused stays refused, and no
//! check pays for all of them.

use std::sync::Arc;
use std::time::Duration;

use support::{resident, scaled};
use tollgate::testing::ManualClock;
use tollgate::{Limiter, MemoryBackend, Policy, Quota};

const DAY: Duration = Duration::from_secs(86_400);
const MAX_KEYS: usize = 100_000;
const STRICT: Policy = Policy::new("strict", Quota::new(4, DAY));

/// A limiter in memory, and 10,000 subjects of a policy that it refuses and 10,000 that have
/// used half.
struct Flooded {
    limiter: Limiter,
    backend: Arc<MemoryBackend>,
}

impl Flooded {
    fn new() -> Self {
        let clock = ManualClock::new();
        let backend = Arc::new(MemoryBackend::builder().max_keys(MAX_KEYS).clock(clock).build());
        let limiter = Limiter::new(backend.clone());
        let flooded = Self { limiter, backend };
        for number in 0..10_000 {
            let (refused, half) = (format!("refused {number}"), format!("half {number}"));
            (0..4).for_each(|_| assert!(flooded.admits(&STRICT, &refused)));
            assert!(!flooded.admits(&STRICT, &refused));
            (0..2).for_each(|_| assert!(flooded.admits(&STRICT, &half)));
        }
        flooded
    }

    fn admits(&self, policy: &Policy, subject: &str) -> bool {
        self.limiter.check_now(policy, subject, 1).unwrap().unwrap().is_allowed()
    }
}

#[test]
fn ten_million_keys_stay_in_bounds_and_readmit_nobody_who_is_refused() {
    if support::is_left_to_a_process_of_its_own(
        module_path!(),
        "ten_million_keys_stay_in_bounds_and_readmit_nobody_who_is_refused",
    ) {
        return;
    }
    let flooded = Flooded::new();
    let resident_before = resident();
    let loose = Policy::new("loose", Quota::new(100, DAY));
    for key in 0..scaled(500_000, 10_000_000) {
        flooded.admits(&loose, &format!("flood {key}"));
    }
    let grown = resident().saturating_sub(resident_before);
    let stats = flooded.backend.stats();
    let refused = (0..10_000).map(|number| format!("refused {number}"));
    assert_eq!(refused.filter(|subject| flooded.admits(&STRICT, subject)).count(), 0);
    // Of those that have used half, some had to go: they get back what they had used.
    let readmitted: usize = (0..10_000)
        .map(|number| {
            let subject = format!("half {number}");
            (0..4).take_while(|_| flooded.admits(&STRICT, &subject)).count().saturating_sub(2)
        })
        .sum();
    println!(
        "resident memory grew by {} MiB; {stats:?}; units wrongly readmitted to half-used keys: \
         {readmitted} of 20000",
        grown >> 20
    );
    assert!(grown <= 64 << 20, "resident memory grew by {grown} bytes");
    assert!(stats.keys <= MAX_KEYS && stats.overflowed == 0, "{stats:?}");
    // Far fewer than there are keys: a shard holds some hundred, and its table grows as a whole.
    assert!(stats.most_visited <= 1_024, "one check looked at {} keys", stats.most_visited);
}

/// Eight times the keys, and no check does more.
#[test]
fn the_work_of_a_check_does_not_grow_with_the_number_of_keys() {
    if support::is_left_to_a_process_of_its_own(
        module_path!(),
        "the_work_of_a_check_does_not_grow_with_the_number_of_keys",
    ) {
        return;
    }
    let policy = Policy::new("loose", Quota::new(100, DAY));
    let most_visited = [20_000, 160_000].map(|max_keys| {
        let clock = ManualClock::new();
        let backend = Arc::new(MemoryBackend::builder().max_keys(max_keys).clock(clock).build());
        let limiter = Limiter::new(backend.clone());
        for key in 0..max_keys * 3 {
            let decision = limiter.check_now(&policy, &key.to_string(), 1).unwrap().unwrap();
            assert!(decision.is_allowed());
        }
        backend.stats().most_visited
    });
    assert!(most_visited.iter().all(|most| *most <= 2_048), "{most_visited:?}");
}
