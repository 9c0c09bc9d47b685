//! Limits as clients see them: whose request it is, what is answered, and when it is decided.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod alike;
mod before_the_body;
mod client_address;
mod counted_once;
mod ends;
mod exact_over_sockets;
mod header_fields;
mod hostile_requests;
mod http_options;
mod layer;
mod one_limiter;
mod refusals;
mod refused_body;
