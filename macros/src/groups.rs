//! Looks through invisible groups. The compiler puts what a macro by example was given, such as
//! `$body:block` or `$ty:ty`, into a group without delimiters, which syn mostly keeps.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::Type;

/// Returns the token tree inside the invisible groups around it. A group of several token trees is
/// returned itself.
pub(crate) fn tree(mut tree: TokenTree) -> TokenTree {
    while let TokenTree::Group(group) = &tree
        && group.delimiter() == Delimiter::None
    {
        let mut inner = group.stream().into_iter();
        match (inner.next(), inner.next()) {
            (Some(only), None) => tree = only,
            _ => break,
        }
    }
    tree
}

/// Returns the tokens inside the invisible groups around all of them.
pub(crate) fn stream(mut stream: TokenStream) -> TokenStream {
    loop {
        let mut trees = stream.clone().into_iter();
        match (trees.next(), trees.next()) {
            (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::None => {
                stream = group.stream();
            }
            _ => return stream,
        }
    }
}

/// Returns the type inside the invisible groups around it.
pub(crate) fn ty(mut ty: &Type) -> &Type {
    while let Type::Group(group) = ty {
        ty = &group.elem;
    }
    ty
}
