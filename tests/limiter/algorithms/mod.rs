//! The six algorithms: each does what its definition says, to the unit and the microsecond.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

#[path = "../support/clock_jumps.rs"]
mod jumps;
#[path = "../support/reference/mod.rs"]
mod reference;
#[path = "../support/subject.rs"]
mod subject;
#[path = "../support/mod.rs"]
mod support;

mod apart;
mod as_defined;
mod by_hand;
mod clock_jumps;
mod granules;
mod proof;
mod refused_for_free;
mod retry_after;
mod sustained;
mod threads;
mod worst_window;
