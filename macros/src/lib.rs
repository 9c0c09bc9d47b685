//! The attribute of `tollgate`, which re-exports it and documents it.
//!
//! A pipeline: arguments and item → policies (the meaning of the arguments together) → expansion;
//! on any mistake, the fallback.

use proc_macro::TokenStream;

mod args;
mod crate_path;
mod errors;
mod expand;
mod fallback;
mod item;
mod key;
mod keywords;
mod period;
mod policy;
mod suggest;

/// See `tollgate::rate_limit`.
#[proc_macro_attribute]
pub fn rate_limit(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::rate_limit(arguments.into(), item.into()).into()
}
