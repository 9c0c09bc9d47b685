//! The attribute macro of the crate `tollgate`, which re-exports and documents it.
//!
//! The macro parses the arguments (`args.rs`) and the item (`item.rs`), combines the arguments into
//! policies (`policy.rs`), and generates code (`expand`). After any mistake, its output is the
//! errors and the user's own item (`fallback.rs`).

use proc_macro::TokenStream;

mod args;
mod argument_names;
mod ban;
mod calendar;
mod contradictions;
mod crate_path;
mod errors;
mod exempt;
mod expand;
mod fallback;
mod future;
mod groups;
mod item;
mod key;
mod keywords;
mod network;
mod period;
mod policy;
mod suggest;

/// See `tollgate::rate_limit`.
#[proc_macro_attribute]
pub fn rate_limit(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::rate_limit(arguments.into(), item.into()).into()
}

/// The attribute of a function in a block, below other attributes (see `expand/order.rs`).
#[proc_macro_attribute]
pub fn rate_limit_in_block(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::rate_limit_in_block(arguments.into(), item.into()).into()
}

/// The attribute again, below the attributes that a handler had below it (see `expand/order.rs`).
#[proc_macro_attribute]
pub fn rate_limit_last(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::rate_limit_last(arguments.into(), item.into()).into()
}
