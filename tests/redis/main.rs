//! What holds in memory holds on Redis: on real servers, which the tests start.
//!
//! Everything that needs servers is one program, so that they are built and started by few.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics fails, as it should")]

mod access;
mod access_credentials;
mod access_kind;
mod access_tls;
mod by_name;
#[path = "../http/by_name_cases.rs"]
mod by_name_cases;
mod calendars;
mod clock_jumps;
mod conformance;
mod deep_logs;
mod exact;
mod failover;
mod far_future;
mod forms;
mod given_up;
mod local_tier;
mod lone_caller;
mod one_call;
mod other_stores;
mod outage;
mod overlap;
mod overrides;
mod rights;
mod rolling;
mod round_trips;
mod same_as_memory;
mod seed_urls;
mod settle_and_ban;
mod stored_tail;
mod telemetry;
mod timed;
mod unreadable;
mod waiting;
