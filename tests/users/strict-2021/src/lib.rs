//! A library whose handlers stand in a module that nothing refers to, under every lint that a
//! careful user turns on.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, missing_debug_implementations, unreachable_pub, clippy::pedantic)]

pub mod unreferenced;
