//! gRPC: a server of tonic with limits in front of it and in its methods, and a client of tonic that
//! reads its answers.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]
#![allow(missing_debug_implementations, missing_docs, reason = "only tests use it")]

mod alike;
mod ends;
mod functions;
mod layers;
mod outages;
mod raised;
mod reasons;
mod service;
