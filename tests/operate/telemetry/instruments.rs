//! What the backend and the circuit breaker show.

use std::time::Duration;

use tollgate::{CircuitBreaker, Limiter, LocalTier, MemoryBackend, Metrics, Policy, Quota};

use support::exporter::Exporter;
use support::far::FarStore;

const HOUR: Duration = Duration::from_secs(3_600);
static POLICY: Policy = Policy::new("p", Quota::new(1, HOUR));

#[tokio::test]
async fn memory_shows_its_keys_and_what_found_no_room() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let limiter = Limiter::new(MemoryBackend::builder().max_keys(4).build());
    // Whoever is at the limit stays, so the fifth finds no room.
    for subject in ["a", "b", "c", "d", "e"] {
        let _ = limiter.check(&POLICY, subject).await.unwrap();
    }
    limiter.record_metrics().await;
    assert_eq!(exporter.value("tollgate_memory_keys", &[]), Some(4.0));
    assert_eq!(exporter.value("tollgate_memory_overflowed_total", &[]), Some(1.0));
    assert_eq!(exporter.value("tollgate_memory_evicted_total", &[]), Some(0.0));

    // Of those who have something left, one has to go.
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let limiter = Limiter::new(MemoryBackend::builder().max_keys(4).build());
    let policy = Policy::new("p", Quota::new(100, HOUR));
    for subject in ["a", "b", "c", "d", "e", "f"] {
        let _ = limiter.check(&policy, subject).await.unwrap();
    }
    limiter.record_metrics().await;
    assert_eq!(exporter.value("tollgate_memory_evicted_total", &[]), Some(2.0));
    // It is told what they have grown by: once more changes nothing.
    limiter.record_metrics().await;
    assert_eq!(exporter.value("tollgate_memory_evicted_total", &[]), Some(2.0));
}

#[tokio::test]
async fn instruments_are_read_on_a_check_when_it_is_time() {
    for (every, seen) in [(Duration::ZERO, 3.0), (HOUR, 1.0)] {
        let exporter = Exporter::new();
        let _listening = exporter.listen();
        let metrics = Metrics::new().every(every);
        let limiter = Limiter::builder(MemoryBackend::new()).metrics(metrics).build();
        for subject in ["a", "b", "c"] {
            let _ = limiter.check(&POLICY, subject).await.unwrap();
        }
        assert_eq!(exporter.value("tollgate_memory_keys", &[]), Some(seen));
    }
}

#[tokio::test]
async fn the_breaker_shows_its_state_and_what_it_did() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let store = FarStore::new();
    let limiter = Limiter::builder(store.clone())
        .clock(store.clock.clone())
        .breaker(CircuitBreaker::new().failure_threshold(3))
        .local_tier(LocalTier::none())
        .build();
    let is_in = |state: &str| {
        let value = |other| exporter.value("tollgate_breaker_state", &[("state", other)]).unwrap();
        let states = ["closed", "open", "half_open"];
        states.iter().all(|other| value(other) == f64::from(u8::from(*other == state)))
    };
    let count = |name: &str| exporter.value(name, &[]).unwrap();
    limiter.record_metrics().await;
    assert!(is_in("closed"));
    store.set_fails(true);
    for _ in 0..5 {
        assert!(limiter.check(&POLICY, "s").await.is_err());
    }
    limiter.record_metrics().await;
    assert!(is_in("open"), "{}", exporter.text());
    assert_eq!(count("tollgate_breaker_openings_total"), 1.0);
    assert_eq!(count("tollgate_breaker_rejected_total"), 2.0);
    assert_eq!(count("tollgate_breaker_probes_total"), 0.0);
    store.clock.advance(Duration::from_secs(60));
    store.set_fails(false);
    // The probe takes a while.
    store.set_ways([1_000, 0]);
    let probe = async {
        support::far::settle().await;
        limiter.record_metrics().await;
        assert!(is_in("half_open"));
        store.clock.advance(Duration::from_millis(1));
    };
    let (probed, ()) = tokio::join!(limiter.check(&POLICY, "s"), probe);
    assert!(probed.unwrap().is_allowed());
    limiter.record_metrics().await;
    assert!(is_in("closed"));
    assert_eq!(count("tollgate_breaker_probes_total"), 1.0);
}
