//! What is counted does not grow with who asks.

use std::time::Duration;

use tollgate::{Limiter, MemoryBackend, Metrics, Policy, Quota};

use support::exporter::Exporter;
use support::scaled;

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_subject_is_in_no_label() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let metrics = Metrics::new().every(Duration::ZERO);
    let limiter = Limiter::builder(MemoryBackend::new()).metrics(metrics).build();
    let policies = ["a", "b", "c"].map(|name| Policy::new(name, Quota::new(2, HOUR)));
    let mut few = 0;
    for number in 0..scaled(5_000, 100_000) {
        for policy in &policies {
            for _ in 0..3 {
                let _ = limiter.check(policy, &format!("subject-{number}")).await.unwrap();
            }
        }
        if number == 0 {
            few = exporter.count();
        }
    }
    assert_eq!(exporter.count(), few);
    assert!(!exporter.text().contains("subject-"));
    println!("{few} series, of one subject and of {}", scaled(5_000, 100_000));
}

#[tokio::test]
async fn policies_that_are_made_up_as_it_goes_are_counted_together() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let limiter = Limiter::new(MemoryBackend::new());
    for number in 0..1_500 {
        let policy = Policy::named(format!("policy-{number}"), Quota::new(1, HOUR));
        let _ = limiter.check(&policy, "s").await.unwrap();
    }
    let decisions = |labels: &[_]| exporter.value("tollgate_decisions_total", labels);
    assert_eq!(decisions(&[]), Some(1_500.0));
    assert_eq!(decisions(&[("policy", "policy-999")]), Some(1.0));
    assert_eq!(decisions(&[("policy", "policy-1000")]), None);
    assert_eq!(decisions(&[("policy", "_other")]), Some(500.0));
}
