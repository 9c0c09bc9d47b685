//! Millions of keys that are all refused: the deny cache remembers no more of them than it may.
//! Alone in its process, for it measures what that holds.

use std::time::Duration;

use support::far::FarStore;
use support::{resident, scaled};
use tollgate::{Limiter, Policy, Quota, Source};

/// As many as it holds by default.
const MAX_KEYS: u64 = 100_000;
const KEY_BYTES: usize = 256;

#[tokio::test]
async fn ten_million_refused_keys_stay_within_the_bound() {
    if support::is_left_to_a_process_of_its_own(
        module_path!(),
        "ten_million_refused_keys_stay_within_the_bound",
    ) {
        return;
    }
    let store = FarStore::new();
    let limiter = Limiter::builder(store.clone()).clock(store.clock.clone()).build();
    let policy = Policy::new("p", Quota::new(1, Duration::from_secs(60)));
    // More than can ever be had: the store keeps nothing of it, so whatever is held is held here.
    let refused =
        async |key: u64| limiter.check_cost(&policy, &format!("attacker {key}"), 2).await.unwrap();
    let keys = u64::from(scaled(500_000, 10_000_000));
    let before = resident();
    for key in 0..keys {
        assert_eq!(refused(key).await.source(), Source::Store);
        // One who goes on all the time.
        let expected = if key == 0 { Source::Store } else { Source::DenyCache };
        assert_eq!(refused(u64::MAX).await.source(), expected, "{key}");
    }
    let grown = resident().saturating_sub(before);
    println!("{keys} keys: resident memory grew by {} KiB", grown >> 10);
    assert!(grown <= MAX_KEYS as usize * KEY_BYTES, "{grown} bytes");
    assert_eq!(store.calls(), keys + 1);
    let known = |key: &u64| limiter.check_now(&policy, &format!("attacker {key}"), 2).is_some();
    let known = (keys - MAX_KEYS..keys).filter(known).count() as u64;
    println!("of the last {MAX_KEYS} it knows {known}");
    assert!(known <= MAX_KEYS && known > MAX_KEYS * 9 / 10, "{known}");
}
