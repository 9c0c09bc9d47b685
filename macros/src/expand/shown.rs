//! Determines if a handler has an argument of the type `RateLimit` or `Usage`. Only for such handlers
//! are decisions passed on and bodies watched, because that costs time.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, FnArg, Ident, PatType, Type};

use super::Names;
use crate::groups;
use crate::item::{Function, has_lifetime, is_named, mentions};
use crate::policy::Policy;

/// The code that depends on the types of a handler's arguments.
pub(super) struct Shown {
    /// The declaration of a constant with the [`name`].
    constant: TokenStream,
    /// A constant that does not compile for a `Usage` of which it is unclear what it counts, if
    /// the limits are such.
    check: Option<TokenStream>,
    /// `true` if the handler's only limit settles at a `Usage` among the arguments.
    implies_usage: bool,
}

/// Returns the name of the constant, which has the library's type `Shown`.
fn name() -> Ident {
    Ident::new("__TOLLGATE_SHOWS", Span::mixed_site())
}

impl Shown {
    /// Determines the types of the arguments. Returns `None` if no argument can have the type of one
    /// of the library's extractors.
    ///
    /// The compiler determines them, also under other names: for the extractors there is an inherent
    /// associated constant, which takes precedence over the constant of the trait `IsNoExtractor`.
    pub(super) fn new(policies: &[Policy], function: &Function, names: &Names<'_>) -> Option<Self> {
        let tollgate = names.tollgate;
        let says_usage = policies.iter().any(Policy::says_usage);
        let implies_usage = matches!(policies, [policy]
            if policy.settle.is_none() && policy.refund_if.is_none());
        let mistake = match policies {
            _ if says_usage => None,
            [policy] => policy.refund_if.as_ref().map(|_| {
                "the limit would be settled at this `Usage`, and its `refund_if` gives the charge \
                 back: remove one of the two"
            }),
            _ => Some(
                "this handler has several limits: write `settle = usage` in the attribute of the one \
                 that this `Usage` counts for",
            ),
        };
        let (mut tests, mut checks) = (Vec::new(), Vec::new());
        for argument in &function.sig.inputs {
            let FnArg::Typed(PatType { attrs, ty, .. }) = argument else { continue };
            let cfgs: Vec<&Attribute> =
                attrs.iter().filter(|attribute| is_named(attribute, "cfg")).collect();
            for ty in elements(ty).into_iter().filter(|ty| can_be_named(ty, names)) {
                let tollgate = tollgate.at(ty.span());
                let shown = quote_spanned!(ty.span()=> <#tollgate::Argument<#ty>>::SHOWN);
                tests.push(quote!(#(#cfgs)* { shown = shown.and(#shown); }));
                checks.extend(mistake.map(|mistake| {
                    let check = quote_spanned! {ty.span()=>
                        if #shown.has_usage() { ::core::panic!(#mistake) }
                    };
                    quote!(#(#cfgs)* { #check })
                }));
            }
        }
        if tests.is_empty() {
            return None;
        }
        let name = name();
        let constant = quote! {
            const #name: #tollgate::Shown = {
                #[allow(unused_imports)]
                use #tollgate::IsNoExtractor as _;
                #[allow(unused_mut)]
                let mut shown = #tollgate::Shown::NOTHING;
                #(#tests)*
                shown
            };
        };
        let check = (!checks.is_empty()).then(|| {
            quote! {
                const _: () = {
                    #[allow(unused_imports)]
                    use #tollgate::IsNoExtractor as _;
                    #(#checks)*
                };
            }
        });
        Some(Self { constant, check, implies_usage })
    }

    /// Returns declarations, and the calls that tell limits before the extraction of the arguments.
    pub(super) fn for_early(&self) -> (TokenStream, TokenStream) {
        let Self { constant, check, .. } = self;
        let (name, usage) = (name(), self.usage_call());
        (quote!(#constant #check), quote!(.shows(#name) #usage))
    }

    /// Returns declarations, and the call that tells the limit, if all limits depend on arguments.
    pub(super) fn for_late(&self) -> (TokenStream, TokenStream) {
        let Self { constant, check, .. } = self;
        match self.usage_call() {
            Some(call) => (quote!(#constant #check), call),
            None => (check.to_token_stream(), TokenStream::new()),
        }
    }

    fn usage_call(&self) -> Option<TokenStream> {
        let name = name();
        self.implies_usage.then(|| quote!(.settle_usage_of(#name)))
    }
}

/// Returns the types of a tuple's elements, including those of nested tuples. Returns any other
/// type itself.
fn elements(ty: &Type) -> Vec<&Type> {
    match groups::ty(ty) {
        Type::Tuple(tuple) => tuple.elems.iter().flat_map(elements).collect(),
        ty => vec![ty],
    }
}

/// Returns `true` if the type can be named outside the function's signature. Types with a lifetime,
/// a generic parameter, `impl` or `Self` cannot, and so are none of the library's extractors.
pub(super) fn can_be_named(ty: &Type, names: &Names<'_>) -> bool {
    let tokens = ty.to_token_stream();
    let mut unknown = names.generics.iter().map(String::as_str).chain(["impl", "Self"]);
    !has_lifetime(tokens.clone()) && !unknown.any(|name| mentions(tokens.clone(), name))
}
