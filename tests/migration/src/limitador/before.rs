use std::collections::HashMap;

use limitador::RateLimiter;
use limitador::limit::Limit;

pub struct Orders {
    limits: RateLimiter,
}

impl Orders {
    pub fn new() -> Self {
        let limits = RateLimiter::new(10_000);
        let reads = vec!["method == 'GET'".try_into().unwrap()];
        let by_user = vec!["user".try_into().unwrap()];
        limits.add_limit(Limit::new("orders", 3, 60, reads, by_user));
        Self { limits }
    }

    /// Whether the call is admitted.
    pub async fn call(&self, method: &str, user: &str) -> bool {
        let values = [("method", method), ("user", user)];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let context = HashMap::from(values).into();
        let namespace = "orders".into();
        !self.limits.check_rate_limited_and_update(&namespace, &context, 1).unwrap().limited
    }
}
