#![doc = include_str!("../README.md")]

mod algorithm;
mod annotation;
mod backend;
mod blocked;
mod call;
mod callback;
mod check;
mod clock;
#[cfg(feature = "config")]
mod config;
#[cfg(feature = "dashboard")]
mod dashboard;
mod decision;
#[cfg(any(feature = "config", feature = "dashboard", feature = "redis"))]
mod duration_text;
mod error;
mod global;
mod guard;
pub mod guide;
#[cfg(feature = "axum")]
mod http;
#[cfg(feature = "axum")]
mod key;
mod limiter;
mod micros;
mod operation;
mod overrides;
mod policy;
mod quota;
mod registry;
#[cfg(feature = "axum")]
mod response;
mod stats;
mod subject;
mod suggest;
mod telemetry;
pub mod testing;
mod verdict;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use self::backend::{Backend, MemoryBackend, MemoryBackendBuilder};
#[cfg(feature = "redis")]
pub use self::backend::{RedisBackend, RedisBackendBuilder};
pub use self::blocked::Blocked;
pub use self::call::RateLimited;
pub use self::check::Check;
pub use self::clock::{Clock, SystemClock};
#[cfg(feature = "config")]
pub use self::config::{Config, ConfigError, ConfigWatcher};
#[cfg(feature = "dashboard")]
pub use self::dashboard::Dashboard;
pub use self::decision::Decision;
pub use self::error::{BackendError, Execution, StartError, Unavailable};
pub use self::global::{get_limiter, set_limiter};
pub use self::guard::{CircuitBreaker, LocalTier};
#[cfg(feature = "axum")]
pub use self::http::{PolicyDecision, RateLimit, RateLimitLayer, RateLimitService, ResponseFuture};
#[cfg(feature = "axum")]
pub use self::key::{ForwardedHeader, Key, KeyError, KeyExtractor, OnMissingKey};
pub use self::limiter::{Limiter, LimiterBuilder};
pub use self::operation::{Action, Answer, Operation};
pub use self::overrides::{Override, OverrideMistake, Overrides, OverridesError, PerSubject};
pub use self::policy::{Algorithm, MAX_QUOTAS, OnError, Policy};
pub use self::quota::{Quota, QuotaError};
pub use self::registry::RegisteredPolicy;
#[cfg(feature = "axum")]
pub use self::response::{
    HeaderStyle, HttpOptions, HttpOptionsError, LegacyReset, Problem, Reason, Refusal,
};
#[cfg(feature = "redis")]
pub use self::stats::RedisStats;
pub use self::stats::{BreakerState, BreakerStats, LimiterStats, MemoryStats};
pub use self::subject::{IntoSubject, Subject};
#[cfg(feature = "metrics")]
pub use self::telemetry::Metrics;
pub use self::telemetry::NearLimit;
pub use self::verdict::{Outcome, QuotaState, Source, Verdict};
#[doc = include_str!("docs/rate_limit.md")]
pub use tollgate_macros::rate_limit;
