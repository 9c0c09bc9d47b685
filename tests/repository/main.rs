//! What is in the repository fits together, and is enough for somebody who has nothing else.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod adopt;
mod links;
mod locks;
mod named_in_docs;
mod pictures;
mod promises;
mod public_api;
mod readme;
mod workflows;
