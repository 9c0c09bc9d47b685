//! What an operator sees: every metric is read as Prometheus would read it.

mod cardinality;
mod decisions;
mod events;
mod hooks;
mod instruments;
