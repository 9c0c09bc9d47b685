//! Generates the code that reports arguments of a handler that are no extractors, at the argument.
//! The library's `http/argument.rs` explains it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{FnArg, PatType};

use super::Names;
use super::shown::can_be_named;
use crate::item::Function;

/// Returns a constant that does not compile if an argument is no extractor, or takes the body and
/// is not the last. Returns `None` if no argument's type can be named outside the function.
pub(super) fn check(function: &Function, names: &Names<'_>) -> Option<TokenStream> {
    let tollgate = names.tollgate;
    let last = function.sig.inputs.len().checked_sub(1)?;
    let site = Span::mixed_site();
    let [candidate, answer] = ["candidate", "answer"].map(|name| Ident::new(name, site));
    let mut steps = TokenStream::new();
    for (index, argument) in function.sig.inputs.iter().enumerate() {
        let FnArg::Typed(PatType { ty, .. }) = argument else { continue };
        if !can_be_named(ty, names) {
            continue;
        }
        let span = ty.span();
        // Located at the user's type, so that the compiler reports the argument there.
        let tollgate_at_type = tollgate.at(span);
        let (begin, report) = if index == last {
            (
                quote!(in_request::<#ty, _, _, _>),
                quote_spanned!(span=> #tollgate_at_type::report_in_request::<#ty, _>),
            )
        } else {
            (
                quote!(in_parts::<#ty, _, _>),
                quote_spanned!(span=> #tollgate_at_type::report_in_parts::<#ty, _>),
            )
        };
        let report = quote_spanned!(span=> #report(&#answer););
        steps.extend(quote_spanned! {site=> {
            let #candidate = #tollgate::#begin();
            let #answer = #tollgate::answer();
            let _ = if false { #candidate.value() } else { #answer.value() };
            #tollgate::settle(&#candidate);
            let _ = if false { #answer.value() } else { #tollgate::no_extractor::<#ty>() };
            #report
        }});
    }
    (!steps.is_empty()).then(|| quote!(const _: () = if false { #steps };))
}
