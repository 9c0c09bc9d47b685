//! The six algorithms: each does what its definition says, to the unit and the microsecond.

mod apart;
mod as_defined;
mod by_hand;
mod climbed;
mod clock_jumps;
mod forms;
mod granules;
mod proof;
mod refused_for_free;
mod retry_after;
mod sustained;
mod threads;
mod worst_window;
