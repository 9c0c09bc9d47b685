//! The question if a handler takes the extractor `RateLimit`. Other handlers do not pay for it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, FnArg, GenericParam, Ident, PatType, Type};

use crate::crate_path::CratePath;
use crate::item::{Function, has_lifetime, is_named, mentions};

/// Returns the name of the constant.
pub(super) fn name() -> Ident {
    Ident::new("__TOLLGATE_SHOWS", Span::mixed_site())
}

/// Returns a constant that is `true` if the type of an argument is `RateLimit`, by whatever name;
/// `None` if there is no such argument.
///
/// The compiler decides: an associated constant of the type itself goes before that of a trait.
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

/// Returns the types of which a tuple consists, which is an extractor of all of them.
fn elements(ty: &Type) -> Vec<&Type> {
    match ty {
        Type::Tuple(tuple) => tuple.elems.iter().flat_map(elements).collect(),
        ty => vec![ty],
    }
}

/// Returns `false` for a type that means nothing outside the signature, and so is not `RateLimit`.
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
