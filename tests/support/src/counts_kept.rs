//! What a limit that is changed while it is in use must do.

use std::time::Duration;

use tollgate::{Algorithm, Limiter, Override, Overrides, Policy, Quota};

const HOUR: Duration = Duration::from_secs(3_600);

/// What was used weighs against the new limit: not a unit is lost, and none is invented.
pub async fn counts_are_kept(limiter: &Limiter, policy: &Policy) {
    let name = policy.name();
    let spend = async |times: u32| {
        let mut admitted = 0;
        for _ in 0..times {
            admitted += u32::from(limiter.check(policy, "s").await.unwrap().is_allowed());
        }
        admitted
    };
    let set = |limit| {
        limiter.set_overrides(Overrides::new().with(name, Override::new().limit(limit))).unwrap();
    };
    assert_eq!(spend(4).await, 4, "{name}");
    set(6);
    assert_eq!(spend(10).await, 2, "{name}: lowered to 6");
    set(20);
    assert_eq!(spend(30).await, 14, "{name}: raised to 20");
    set(5);
    assert_eq!(spend(3).await, 0, "{name}: lowered below what is used");
    set(25);
    assert_eq!(spend(30).await, 5, "{name}: raised again");
}

pub fn policies() -> impl Iterator<Item = Policy> {
    Algorithm::ALL
        .iter()
        .map(|&by| Policy::named(by.as_str(), Quota::new(10, 100 * HOUR)).algorithm(by))
}
