//! What an operator sees: every metric is read as Prometheus would read it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics fails, as it should")]

#[path = "../support/exporter.rs"]
mod exporter;
#[path = "../support/far.rs"]
mod far;
#[path = "../support/mod.rs"]
mod support;

mod cardinality;
mod decisions;
mod events;
mod hooks;
mod instruments;
