//! What operators do: configure, override, watch and deploy.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod calendars;
mod config;
mod dashboard;
mod deployment;
mod error_texts;
mod in_flight;
mod joined_http_options;
mod overrides;
mod secrets;
mod telemetry;
