//! What needs a process of its own: it measures the whole process, or sets what a process has only
//! one of. Each test runs itself again, alone.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod dashboard_bounded;
mod denied_flood;
mod flood;
mod global_limiter;
mod large_requests;
mod secrets;

/// Tells the tests of this program what they allocate, while one of them asks.
#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;
