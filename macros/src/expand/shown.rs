//! Determines if a handler has an argument of the type `RateLimit`. Only for such handlers are
//! decisions passed on, because that costs time.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, FnArg, Ident, PatType, Type};

use super::Names;
use crate::item::{Function, has_lifetime, is_named, mentions};

/// Returns the name of the constant that [`constant`] declares.
pub(super) fn name() -> Ident {
    Ident::new("__TOLLGATE_SHOWS", Span::mixed_site())
}

/// Returns the declaration of a constant that is `true` if the type of an argument is `RateLimit`,
/// even under another name. Returns `None` if no argument can have that type.
///
/// The compiler determines the value: for `RateLimit` there is an inherent associated constant,
/// which takes precedence over the constant of the trait `IsNoRateLimit`.
pub(super) fn constant(function: &Function, names: &Names<'_>) -> Option<TokenStream> {
    let tollgate = names.tollgate;
    let mut tests = Vec::new();
    for argument in &function.sig.inputs {
        let FnArg::Typed(PatType { attrs, ty, .. }) = argument else { continue };
        let cfgs: Vec<&Attribute> =
            attrs.iter().filter(|attribute| is_named(attribute, "cfg")).collect();
        for ty in elements(ty).into_iter().filter(|ty| can_be_named(ty, names)) {
            let tollgate = tollgate.at(ty.span());
            let is_shown = quote_spanned!(ty.span()=> <#tollgate::Argument<#ty>>::IS_RATE_LIMIT);
            tests.push(quote!(#(#cfgs)* { shows = shows || #is_shown; }));
        }
    }
    if tests.is_empty() {
        return None;
    }
    let name = name();
    Some(quote! {
        const #name: ::core::primitive::bool = {
            #[allow(unused_imports)]
            use #tollgate::IsNoRateLimit as _;
            #[allow(unused_mut)]
            let mut shows = false;
            #(#tests)*
            shows
        };
    })
}

/// Returns the types of a tuple's elements, including those of nested tuples. Returns any other
/// type itself.
fn elements(ty: &Type) -> Vec<&Type> {
    match ty {
        Type::Tuple(tuple) => tuple.elems.iter().flat_map(elements).collect(),
        ty => vec![ty],
    }
}

/// Returns `true` if the type can be named outside the function's signature. Types with a lifetime,
/// a generic parameter, `impl` or `Self` cannot, and so are not `RateLimit`.
pub(super) fn can_be_named(ty: &Type, names: &Names<'_>) -> bool {
    let tokens = ty.to_token_stream();
    let mut unknown = names.generics.iter().map(String::as_str).chain(["impl", "Self"]);
    !has_lifetime(tokens.clone()) && !unknown.any(|name| mentions(tokens.clone(), name))
}
