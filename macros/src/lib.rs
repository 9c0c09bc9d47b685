//! The attribute of `tollgate`, which re-exports it and documents it.
//!
//! arguments + item → policy (what they mean together) → expansion; on any mistake, fallback.

use proc_macro::TokenStream;

mod args;
mod errors;
mod expand;
mod fallback;
mod item;
mod key;
mod period;
mod policy;
mod private;
mod suggest;
mod words;

/// See `tollgate::rate_limit`.
#[proc_macro_attribute]
pub fn rate_limit(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::rate_limit(arguments.into(), item.into()).into()
}
