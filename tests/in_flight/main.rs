//! Limits on requests in flight: how many are so at the same time, until when a permit is held, and
//! that none is lost or doubled. A program of its own, because annotations with such limits are known
//! to all limiters of a program, and not every store in the other programs gives permits.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod answers;
mod ends;
mod fleet;
mod functions;
mod lives;
mod observer;
mod options;
mod outage;
mod settings;
mod stored;
mod waiting;
