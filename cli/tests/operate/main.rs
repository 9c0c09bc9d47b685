//! The commands for what is counted in a Redis, run as the program that they are, on real servers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics fails, as it should")]

mod by_name;
mod changes;
mod command;
mod lists;
mod mistakes;
mod places;
mod sign_in;
