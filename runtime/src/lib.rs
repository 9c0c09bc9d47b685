#![doc = include_str!("../../README.md")]

mod algorithm;
mod backend;
mod clock;
mod decision;
mod error;
mod global;
#[cfg(feature = "axum")]
mod http;
#[cfg(feature = "axum")]
mod key;
mod limiter;
mod policy;
mod quota;
pub mod testing;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use self::backend::{
    Action, Answer, Backend, MemoryBackend, MemoryBackendBuilder, Operation, Verdict,
};
pub use self::clock::{Clock, SystemClock};
pub use self::decision::{Decision, Outcome, QuotaState, Source};
pub use self::error::{BackendError, Execution, StartError, Unavailable};
pub use self::global::{get_limiter, set_limiter};
pub use self::limiter::Limiter;
pub use self::policy::{Algorithm, MAX_QUOTAS, OnError, Policy};
pub use self::quota::{Quota, QuotaError};
pub use tollgate_macros::rate_limit;
