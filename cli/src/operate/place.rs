//! The Redis that the command is for, with what it needs to name subjects.

use std::sync::Arc;
use std::time::Duration;

use tollgate::backend::RedisBackendBuilder;
use tollgate::{Config, Limiter, LocalTier, NamedSubject, RedisBackend};

use super::args::Place;

/// The longest time for an operation. Nobody waits for it but an operator.
const DEADLINE: Duration = Duration::from_secs(5);

/// A Redis, with a limiter that counts in it.
pub(crate) struct Redis {
    pub(crate) backend: Arc<RedisBackend>,
    pub(crate) limiter: Limiter,
}

impl Redis {
    /// # Errors
    ///
    /// If no Redis is named, or if its settings are wrong.
    pub(crate) fn open(place: &Place) -> Result<Self, Box<dyn std::error::Error>> {
        let config = match &place.config {
            Some(path) => Config::load(path)?,
            None => Config::from_env()?,
        };
        let builder = match &place.url {
            Some(url) => Some(RedisBackend::builder(url)),
            None => config.redis(),
        };
        let builder: RedisBackendBuilder = builder.ok_or(
            "which Redis? Name it by --redis redis://host:6379/0, by REDIS_URL, or by --config FILE",
        )?;
        let builder = match &place.prefix {
            Some(prefix) => builder.key_prefix(prefix),
            None => builder,
        };
        let backend = Arc::new(builder.deadline(DEADLINE).build()?);
        let limiter = Limiter::builder(Arc::clone(&backend))
            .http(config.http()?)
            .breaker(None)
            .local_tier(LocalTier::none())
            .build();
        Ok(Self { backend, limiter })
    }

    /// Returns the text by which a subject is counted.
    pub(crate) fn text(&self, subject: &NamedSubject) -> String {
        self.limiter.subject_text(subject)
    }
}
