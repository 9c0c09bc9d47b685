//! A fleet of limiters on one simulated store.
//!
//! Each instance is a limiter of the library, with its guards and a clock of its own. The store is one
//! in memory that is far away: its answers take a while, requests and answers are lost, instances are
//! cut off, and replicas take over that lack the last writes. An observer who knows the true time
//! compares what is admitted with what an exact limiter would admit. The same seed gives the same
//! figures.

#![allow(missing_debug_implementations, missing_docs, reason = "only tests use it")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a simulation that panics fails, as it should"
)]
#![allow(clippy::new_without_default, reason = "tests call `new`, and nothing is generic over it")]

mod chance;
pub mod faults;
pub mod figures;
pub mod fleet;
pub mod observer;
mod run;
mod store;
mod timeline;
mod traffic;

pub use self::run::play;
