use tollgate::{Algorithm, Limiter, MemoryBackend, Policy, Quota};

const READS: Policy = Policy::new("orders", Quota::per_minute(3)).algorithm(Algorithm::FixedWindow);

pub struct Orders {
    limiter: Limiter,
}

impl Orders {
    pub fn new() -> Self {
        Self { limiter: Limiter::new(MemoryBackend::new()) }
    }

    /// Whether the call is admitted.
    pub async fn call(&self, method: &str, user: &str) -> bool {
        method != "GET" || self.limiter.check(&READS, user).await.unwrap().is_allowed()
    }
}
