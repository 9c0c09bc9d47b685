//! What can be annotated, and what the options of the annotation do.

#![deny(warnings)]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod bans;
mod blocks;
mod functions;
mod futures;
mod handlers;
mod options;
mod refusals;
mod rejections;
mod settlements;
mod shown;
mod stacks;
mod waiting;
