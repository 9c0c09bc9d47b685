//! What a limiter does when its store fails, on a store that fails as it is told and on a clock
//! that stands until it is moved. What real servers and networks do is in `tests/redis/outage`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics fails, as it should")]

mod breaker;
mod deadline;
mod local;
mod modes;
mod store;
#[path = "../support/mod.rs"]
mod support;
