//! The service behind real proxies: each client is itself, and a refusal arrives. Over the proxies
//! that `TOLLGATE_TEST_PROXIES` names: nginx, or all by `./tests/proxies.sh`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod clients;
mod http2;
mod service;
mod uploads;
