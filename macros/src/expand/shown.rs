//! Determines if a handler has an argument of the type `RateLimit`. Only for such handlers are
//! decisions passed on, because that costs time.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, FnArg, GenericParam, Ident, PatType, Type};

use crate::crate_path::CratePath;
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
pub(super) fn constant(function: &Function, tollgate: &CratePath) -> Option<TokenStream> {
    let mut tests = Vec::new();
    for argument in &function.sig.inputs {
        let FnArg::Typed(PatType { attrs, ty, .. }) = argument else { continue };
        let cfgs: Vec<&Attribute> =
            attrs.iter().filter(|attribute| is_named(attribute, "cfg")).collect();
        for ty in elements(ty).into_iter().filter(|ty| can_be_named(ty, function)) {
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
fn can_be_named(ty: &Type, function: &Function) -> bool {
    let tokens = ty.to_token_stream();
    let generics = function.sig.generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Type(parameter) => Some(parameter.ident.to_string()),
        GenericParam::Const(parameter) => Some(parameter.ident.to_string()),
        GenericParam::Lifetime(_) => None,
    });
    let mut unknown = generics.chain(["impl".to_owned(), "Self".to_owned()]);
    !has_lifetime(tokens.clone()) && !unknown.any(|name| mentions(tokens.clone(), &name))
}
