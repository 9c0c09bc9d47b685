//! The local tier decides nothing that its store would not: the deny cache refuses what the store
//! would refuse, and a lease hands out what the store has charged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics fails, as it should")]

#[path = "../support/far.rs"]
mod far;
#[path = "../support/reference/mod.rs"]
mod reference;
#[path = "../support/mod.rs"]
mod support;

mod deny_cache;
mod lease;
mod lease_traces;
mod traces;
