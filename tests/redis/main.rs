//! What holds in memory holds on Redis: on real servers, which the tests start.
//!
//! Everything that needs servers is one program, so that they are built and started by few.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics fails, as it should")]

#[path = "../support/exporter.rs"]
mod exporter;
#[path = "../support/clock_jumps.rs"]
mod jumps;
#[path = "../support/reference/mod.rs"]
mod reference;
#[path = "../support/redis/mod.rs"]
mod servers;
#[path = "../support/subject.rs"]
mod subject;
#[path = "../support/mod.rs"]
mod support;

mod access;
mod clock_jumps;
mod conformance;
mod exact;
mod failover;
mod given_up;
mod local_tier;
mod outage;
mod overrides;
mod rolling;
mod round_trips;
mod same_as_memory;
mod seed_urls;
mod telemetry;
mod timed;
mod waiting;
