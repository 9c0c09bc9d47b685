//! Copies functions with all their attributes, as attributes do that make a cache or a server's function.

use proc_macro::{Ident, TokenStream, TokenTree};

/// Declares the function, and a copy of it under another name.
#[proc_macro_attribute]
pub fn copied(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut is_name = false;
    let copy = item.clone().into_iter().map(|token| match token {
        TokenTree::Ident(word) if is_name => {
            is_name = false;
            Ident::new(&format!("{word}_uncached"), word.span()).into()
        }
        token => {
            is_name = matches!(&token, TokenTree::Ident(word) if word.to_string() == "fn");
            token
        }
    });
    let copy: TokenStream = copy.collect();
    [item, copy].into_iter().collect()
}
