//! Handler mode: one extractor for all of the handler's arguments.
//!
//! The extractor becomes the handler's last argument. It checks the limits, and then extracts the
//! original arguments as a tuple. A placeholder replaces each of the other arguments, so that their
//! number does not change: a `#[debug_handler]` above the attribute calls the handler with as many
//! arguments as the original has.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, FnArg, Ident, PatType, Type};

use super::late::{self, Places};
use super::shown::Shown;
use super::{Names, cfgs, extractors, limits, merged, wrapped};
use crate::args::{Cost, Named};
use crate::contradictions::find_self;
use crate::errors::Errors;
use crate::exempt::Exempt;
use crate::groups;
use crate::item::{Function, is_named};
use crate::keywords::{RefundIf, Settle};
use crate::policy::Policy;

/// Attributes that call the function in another way than axum does: those of other frameworks, of
/// axum-typed-routing and of rmcp.
const FOREIGN: [&str; 10] =
    ["delete", "endpoint", "get", "handler", "head", "patch", "post", "put", "route", "tool"];

/// Reports arguments that an axum handler cannot have. Also reports `Self` in the signature if the
/// surrounding `impl` block lacks the attribute.
pub(super) fn check(
    policies: &[Policy],
    function: &Function,
    is_in_block: bool,
    errors: &mut Errors,
) {
    // Beside `args(…)`, the key for which a request is needed may not be expected to need one.
    let has_args = policies.iter().any(Policy::is_late);
    let request_key = policies.iter().find(|policy| has_args && !policy.key.is_args_alone());
    let no_request = request_key.map_or_else(String::new, |policy| {
        format!(" and has no request for `key = {}`", policy.key.text())
    });
    let foreign = function
        .attrs
        .iter()
        .filter(|attribute| FOREIGN.iter().any(|name| is_named(attribute, name)));
    if let Some(attribute) = foreign.into_iter().next() {
        let path = attribute.path();
        let name = path.to_token_stream().to_string().replace(' ', "");
        let message = format!(
            "`#[{name}]` makes no axum handler of this function, and without `key = args(…)` the limit \
             is one of an axum handler: write `key = args(…)` with what the function is called with, \
             such as `key = args(id)`, or `key = args()` for one limit on all calls"
        );
        return errors.at(path, message);
    }
    for argument in &function.sig.inputs {
        let reason = match argument {
            FnArg::Receiver(_) => "an axum handler has no `self`",
            FnArg::Typed(PatType { ty, .. }) => match groups::ty(ty) {
                Type::Reference(_) => "a reference is no extractor, so this is no axum handler",
                ty if is_plain_value(ty) => {
                    "a plain value is no extractor, so this is no axum handler (to extract it in one, \
                     write an extractor, such as `Path(id): Path<u32>`)"
                }
                _ => continue,
            },
        };
        let message = format!(
            "{reason}{no_request}: to limit a plain function, write `key = args(…)` with what it is called \
             with, such as `key = args(user.id)`, or `key = args()` for one limit on all calls"
        );
        errors.at(argument, message);
    }
    let is_method = function.sig.receiver().is_some();
    let needs_block = !is_in_block && !is_method && has_early(policies);
    let signature = needs_block.then(|| function.sig.to_token_stream());
    if let Some(word) = signature.and_then(find_self) {
        errors.at(
            word,
            "a handler in an `impl` block needs `#[rate_limit]` on the block, too: write it there, \
             without arguments",
        );
    }
}

/// Returns `true` if the type is a number, a `bool` or a `char`.
fn is_plain_value(ty: &Type) -> bool {
    const NAMES: [&str; 16] = [
        "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16",
        "u32", "u64", "u128", "usize",
    ];
    matches!(ty, Type::Path(path)
        if path.path.get_ident().is_some_and(|name| NAMES.iter().any(|known| name == known)))
}

/// Returns `true` if a limit is checked before the arguments are extracted. Such limits are provided
/// by a type, which is declared beside the function.
fn has_early(policies: &[Policy]) -> bool {
    policies.iter().any(|policy| !policy.is_late())
}

/// Returns the declaration of a type that provides the limits, and the limited function. The
/// declaration is placed beside the function.
pub(super) fn expand(
    policies: &[Policy],
    function: Function,
    names: &Names<'_>,
    errors: &mut Errors,
) -> (TokenStream, TokenStream) {
    let Names { function: name, owner, tollgate, .. } = names;
    let annotated = match owner {
        Some(owner) => format_ident!("__rate_limit_{owner}_{name}", span = Span::mixed_site()),
        None => format_ident!("__rate_limit_{name}", span = Span::mixed_site()),
    };
    let shown = Shown::new(policies, &function, names);
    let (declarations, late_calls) = match &shown {
        Some(shown) if !has_early(policies) => shown.for_late(),
        _ => Default::default(),
    };
    let (mut beside, mut provider) = if has_early(policies) {
        let annotated_type = annotated_type(policies, &function, &annotated, shown.as_ref(), names);
        (annotated_type, annotated.into_token_stream())
    } else {
        (TokenStream::new(), quote!(()))
    };
    let is_late = policies.iter().any(Policy::is_late);
    if is_late {
        provider = quote!(#tollgate::ThenArguments<#provider>);
    }
    let cfgs: Vec<Attribute> = cfgs_of(&function).cloned().collect();

    // In documentation builds the function is left unchanged: rustdoc shows the original signature,
    // and does not compile bodies.
    let mut functions = quote!(#[cfg(doc)] #function);
    for (condition, variant) in cfgs::variants(function, errors) {
        let mut check = extractors::check(&variant, names);
        if has_early(policies)
            && let Some(check) = check.take()
        {
            beside.extend(quote!(#[cfg(#condition)] #(#cfgs)* #check));
        }
        let limited = match owner {
            None if !is_late && wrapped::is_possible(&variant) => {
                wrapped::expand(variant, &provider, tollgate)
            }
            _ => {
                let guard = merged::guard();
                let late = late::check(policies, &guard, (&declarations, &late_calls), names);
                merged::expand(variant, &provider, &quote!(#check #late), tollgate)
            }
        };
        functions.extend(quote!(#[cfg(#condition)] #limited));
    }
    (beside, functions)
}

/// Returns the conditions under which the function is compiled.
fn cfgs_of(function: &Function) -> impl Iterator<Item = &Attribute> {
    function.attrs.iter().filter(|attribute| is_named(attribute, "cfg"))
}

/// Returns the declaration of the type from which the extractor obtains the limits.
fn annotated_type(
    policies: &[Policy],
    function: &Function,
    annotated: &Ident,
    shown: Option<&Shown>,
    names: &Names<'_>,
) -> TokenStream {
    let (vis, tollgate) = (&function.vis, names.tollgate);
    // The type is compiled under the same conditions as the handler.
    let cfgs: Vec<&Attribute> = cfgs_of(function).collect();
    let (declarations, calls) = shown.map(Shown::for_early).unwrap_or_default();
    let early = policies.iter().enumerate().filter(|(_, policy)| !policy.is_late());
    let provider = annotated.to_token_stream();
    let limits = early.map(|(index, policy)| {
        let limit = limit(policy, index == 0, Place::Early(&provider), names);
        quote!(#limit #calls)
    });
    let limits: Vec<TokenStream> = limits.collect();
    let count = limits.len();
    let register = limits::register(count, tollgate);
    let statics = limits::statics();
    let allow = limits::allow(policies);
    quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #vis struct #annotated;

        #(#cfgs)*
        impl #tollgate::Annotated for #annotated {
            fn limits() -> &'static [#tollgate::HttpLimit] {
                #declarations
                #allow
                static #statics: [#tollgate::HttpLimit; #count] = [#(#limits),*];
                #register
                &#statics
            }
        }
    }
}

/// The place at which a limit is checked.
pub(super) enum Place<'a> {
    /// Before the extraction of the arguments. The type provides the limits.
    Early(&'a TokenStream),
    /// After the extraction. The places say where the limit finds the values of arguments.
    Late(Places),
}

/// Returns a const expression of the library's type `HttpLimit` for the policy.
pub(super) fn limit(
    policy: &Policy,
    is_first: bool,
    place: Place<'_>,
    names: &Names<'_>,
) -> TokenStream {
    let tollgate = names.tollgate;
    let (places, provider) = match place {
        Place::Early(provider) => (Places::default(), Some(provider)),
        Place::Late(places) => (places, None),
    };
    let limit = limits::limit(policy, is_first, provider, names);
    let key = policy.key.kind.key(places.arg, tollgate);
    let cost = match &policy.cost {
        Some(Named { value: Cost::Function(path), .. }) => {
            quote_spanned!(path.span()=> #tollgate::Cost::Function(#path))
        }
        Some(Named { value: Cost::Args(_), .. }) => {
            let place = places.cost;
            quote!(#tollgate::Cost::Function(#tollgate::argument_cost::<#place>))
        }
        _ => {
            let cost = limits::constant_cost(policy);
            quote!(#tollgate::Cost::Fixed(#cost))
        }
    };
    let exempt = policy.exempt.as_ref().map(|argument| match &argument.value {
        Exempt::Function(path) => quote!(.exempt(#path)),
        Exempt::Networks(networks) => {
            let networks = networks.iter().map(|network| network.tokens(tollgate));
            quote!(.exempt_nets(&[#(#networks),*]))
        }
    });
    let refund_if = policy.refund_if.as_ref().map(|argument| {
        let condition = match &argument.value {
            RefundIf::Failure => quote!(Failure),
            RefundIf::Success => quote!(Success),
            RefundIf::Function(path) => quote!(function(#path)),
        };
        quote!(.refund_if(#tollgate::RefundIf::#condition))
    });
    let settle = policy.settle.as_ref().map(|argument| match &argument.value {
        Settle::Usage(_) => quote!(.settle_usage()),
        Settle::Function(path) => quote!(.settle(#path)),
    });
    let headers = policy.headers.as_ref().map(|argument| {
        let style = argument.value.tokens(tollgate);
        quote!(.headers(#style))
    });
    let on_missing_key = policy.on_missing_key.as_ref().map(|argument| {
        let mode = argument.value.tokens(tollgate);
        quote!(.on_missing_key(#mode))
    });
    let refusal = policy.refusal.as_ref().map(|argument| {
        let path = &argument.value;
        let tollgate = tollgate.at(path.span());
        quote_spanned!(path.span()=> .refusal(|refusal| #tollgate::answered(#path(refusal))))
    });
    let quotas = policy.quotas.iter().enumerate().filter_map(|(index, quota)| {
        let path = &quota.function.as_ref()?.value;
        let tollgate = tollgate.at(path.span());
        Some(
            quote_spanned!(path.span()=> .quota(#index, |parts| #tollgate::look_up(&#path, parts))),
        )
    });
    let wait = policy.wait.as_ref().map(|argument| {
        let max_wait = argument.value.tokens(tollgate);
        quote!(.wait(#max_wait))
    });
    quote! {
        #tollgate::HttpLimit::new(#limit, #key, #cost)
            #exempt #refund_if #settle #headers #on_missing_key #refusal #wait #(#quotas)*
    }
}
