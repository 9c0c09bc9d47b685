//! Generates the code that reports arguments of a handler that are no extractors, at the argument.
//! The library's `http/argument.rs` explains it.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{FnArg, PatType};

use super::Names;
use super::shown::can_be_named;
use crate::item::Function;

/// Returns an item that does not compile if an argument is no extractor, or takes the body and is
/// not the last. Returns `None` if no argument's type can be named outside the function.
pub(super) fn check(function: &Function, names: &Names<'_>) -> Option<TokenStream> {
    let tollgate = names.tollgate;
    let last = function.sig.inputs.len().checked_sub(1)?;
    let mut arguments = TokenStream::new();
    for (index, argument) in function.sig.inputs.iter().enumerate() {
        let FnArg::Typed(PatType { ty, .. }) = argument else { continue };
        if !can_be_named(ty, names) {
            continue;
        }
        arguments.extend(if index == last {
            quote!(in_request report_in_request #ty,)
        } else {
            quote!(in_parts report_in_parts #ty,)
        });
        // The compiler reports the argument at this token.
        arguments.extend(quote_spanned!(ty.span()=> _;));
    }
    (!arguments.is_empty()).then(|| quote!(#tollgate::arguments! { #arguments }))
}
