#![doc = include_str!("docs/front.md")]
// Rustdoc of docs.rs says of each item by which feature it is there.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod algorithm;
mod annotation;
pub mod backend;
mod blocked;
mod calendar;
mod call;
mod callback;
mod check;
mod clock;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "dashboard")]
mod dashboard;
mod decision;
mod duration_text;
mod error;
#[cfg(all(test, shuttle))]
mod exploration;
mod global;
#[cfg(feature = "tonic")]
pub mod grpc;
mod guard;
pub mod guide;
#[cfg(feature = "axum")]
pub mod http;
#[cfg(feature = "axum")]
mod key;
mod limiter;
mod micros;
mod named_subject;
#[cfg(feature = "axum")]
mod once_each;
#[cfg(feature = "utoipa")]
pub mod openapi;
mod operation;
pub mod overrides;
mod permit;
mod policy;
mod quota;
mod refused_by;
mod registry;
#[cfg(feature = "axum")]
mod response;
mod settled;
mod site;
pub mod stats;
mod subject;
mod subject_hash;
mod suggest;
mod sync;
pub mod telemetry;
pub mod testing;
mod unavailable;
mod units;
mod verdict;
#[cfg(any(feature = "axum", feature = "config", feature = "redis"))]
mod without_secrets;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use self::backend::memory::MemoryBackend;
#[cfg(feature = "redis")]
pub use self::backend::redis::RedisBackend;
pub use self::backend::store::Backend;
pub use self::blocked::Blocked;
pub use self::calendar::Calendar;
pub use self::call::RateLimited;
pub use self::check::Check;
pub use self::clock::{Clock, SystemClock};
#[cfg(feature = "config")]
pub use self::config::configuration::Config;
#[cfg(feature = "dashboard")]
pub use self::dashboard::Dashboard;
pub use self::decision::Decision;
pub use self::error::{BackendError, StartError};
pub use self::global::{get_limiter, set_limiter};
pub use self::guard::{CircuitBreaker, LocalTier};
#[cfg(feature = "axum")]
pub use self::http::client_addr::ClientAddr;
#[cfg(feature = "axum")]
pub use self::http::extractor::RateLimit;
#[cfg(feature = "axum")]
pub use self::http::layer::RateLimitLayer;
#[cfg(feature = "axum")]
pub use self::http::usage::Usage;
#[cfg(feature = "axum")]
pub use self::key::{Key, KeyExtractor};
pub use self::limiter::{Limiter, LimiterBuilder};
pub use self::named_subject::{AsSubject, NamedSubject};
pub use self::overrides::by_name::Overrides;
pub use self::overrides::per_subject::PerSubject;
pub use self::overrides::settings::Override;
pub use self::permit::Permit;
pub use self::policy::ban::BanError;
pub use self::policy::in_flight::InFlightError;
pub use self::policy::{Algorithm, Ban, InFlight, OnError, Policy};
pub use self::quota::{Quota, QuotaError};
pub use self::registry::RegisteredPolicy;
#[cfg(feature = "axum")]
pub use self::response::HttpOptions;
pub use self::settled::Settled;
pub use self::subject::{IntoSubject, Subject};
pub use self::subject_hash::PepperError;
#[cfg(feature = "metrics")]
pub use self::telemetry::settings::Metrics;
pub use self::unavailable::Unavailable;
pub use self::verdict::{Outcome, QuotaState, Source};
#[doc = include_str!("docs/rate_limit.md")]
pub use tollgate_macros::rate_limit;

/// The snippets of README are compiled with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
