//! Keys of functions that have parts of the request beside `args(…)`, such as `(args(email), ip)`.
//!
//! The function is an axum handler. An extractor of the library is added to its first argument, as a
//! tuple of the two, and keeps what these parts need. So the number of arguments does not change,
//! which a `#[debug_handler]` above the attribute relies on.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote};
use syn::{FnArg, PatType, parse_quote};

use super::{cfgs, function};
use crate::crate_path::CratePath;
use crate::errors::Errors;
use crate::item::Function;
use crate::key::Kind;
use crate::policy::Policy;

/// Returns `true` if the key of one of the policies has parts of the request.
pub(super) fn is_needed(policies: &[Policy]) -> bool {
    policies.iter().any(|policy| policy.key.is_args() && policy.key.kind.has_request())
}

/// Returns the function with the extractor added to it, expanded by `expand`. As for handlers,
/// documentation shows the original function.
pub(super) fn expand(
    policies: &[Policy],
    function: Function,
    tollgate: &CratePath,
    expand: impl Fn(Function) -> Function,
    errors: &mut Errors,
) -> TokenStream {
    let needs_head = policies.iter().any(|policy| policy.key.kind.needs_head());
    let mut functions = quote!(#[cfg(doc)] #function);
    for (condition, mut variant) in cfgs::variants(function, errors) {
        add_extractor(&mut variant, needs_head, tollgate);
        let limited = expand(variant).into_token_stream();
        functions.extend(quote!(#[cfg(#condition)] #limited));
    }
    functions
}

fn add_extractor(function: &mut Function, needs_head: bool, tollgate: &CratePath) {
    let request = request();
    let extractor = quote!(#tollgate::CallRequest<#needs_head>);
    let inputs = &mut function.sig.inputs;
    match inputs.first_mut() {
        Some(FnArg::Typed(PatType { pat, ty, .. })) => {
            **pat = parse_quote!((mut #request, #pat));
            **ty = parse_quote!((#extractor, #ty));
        }
        _ => inputs.insert(0, parse_quote!(mut #request: #extractor)),
    }
}

/// Returns an expression for the subject of a call whose key has parts of the request.
pub(super) fn subject(policy: &Policy, parts: &[Kind], tollgate: &CratePath) -> TokenStream {
    let request = request();
    let (mut keys, mut names, mut elements) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        if let Kind::Args(expressions) = part {
            elements.extend(expressions.iter().map(function::arg));
        } else {
            let name = format_ident!("part_{}", keys.len(), span = Span::mixed_site());
            elements.push(quote!(&#name));
            keys.push(part.part(tollgate));
            names.push(name);
        }
    }
    let subject = function::subject(elements.into_iter(), tollgate);
    let on_missing = match &policy.on_missing_key {
        Some(argument) => {
            let mode = argument.value.tokens(tollgate);
            quote!(::core::option::Option::Some(#mode))
        }
        None => quote!(::core::option::Option::None),
    };
    quote! {
        match #request.subjects([#(#keys),*], #on_missing).await {
            ::core::result::Result::Ok([#(#names),*]) => #subject,
            ::core::result::Result::Err(other) => other,
        }
    }
}

/// Returns the name of the extractor's variable. Macro hygiene hides it from the user's
/// expressions.
fn request() -> Ident {
    Ident::new("request", Span::mixed_site())
}
