//! Handler mode: a guard in front of the handler's own extractors.
//!
//! The guard shares an existing argument, so that the number of arguments stays the same: 16
//! extractors still work, and so does `#[debug_handler]` above. It checks the limits before they
//! run, because axum extracts the arguments in order, and a tuple from left to right.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Attribute, FnArg, Ident, PatType, ReturnType, Safety, Signature, Type, parse_quote};

use super::{Names, limits};
use crate::args::{Cost, Named};
use crate::crate_path::CratePath;
use crate::errors::Errors;
use crate::item::{Function, is_named, return_edge};
use crate::keywords::RefundIf;
use crate::policy::{Policy, find_self};

/// axum implements `Handler` for functions of up to this many arguments.
const MAX_ARGUMENTS: usize = 16;

/// Reports functions that cannot be axum handlers, or not without an attribute on their block.
pub(super) fn check(function: &Function, is_in_block: bool, errors: &mut Errors) {
    for argument in &function.sig.inputs {
        let reason = match argument {
            FnArg::Receiver(_) => "an axum handler has no `self`",
            FnArg::Typed(PatType { ty, .. }) => match &**ty {
                Type::Reference(_) => "a reference is no extractor, so this is no axum handler",
                ty if is_plain_value(ty) => {
                    "a plain value is no extractor, so this is no axum handler (which would \
                     extract it, such as `Path(id): Path<u32>`)"
                }
                _ => continue,
            },
        };
        let message = format!(
            "{reason}: to limit a plain function, write `key = args(…)` with what it is called \
             with, such as `key = args(user.id)`, or `key = args()` for one limit on all calls"
        );
        errors.at(argument, message);
    }
    let is_method = function.sig.receiver().is_some();
    let signature = (!is_in_block && !is_method).then(|| function.sig.to_token_stream());
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

/// Returns the type that names the limits, which goes beside the function, and the function with
/// its guard.
pub(super) fn expand(
    policies: &[Policy],
    mut function: Function,
    names: &Names<'_>,
    errors: &mut Errors,
) -> (TokenStream, TokenStream) {
    let Names { function: name, owner, tollgate } = names;
    let annotated = match owner {
        Some(owner) => format_ident!("__rate_limit_{owner}_{name}", span = Span::mixed_site()),
        None => format_ident!("__rate_limit_{name}", span = Span::mixed_site()),
    };
    let beside = annotated_type(policies, &function, &annotated, names);

    let refunds = policies.iter().any(|policy| policy.refund_if.is_some());
    let inner =
        (owner.is_none() && !refunds && can_be_inner(&function)).then(|| take_inner(&mut function));

    let guard = Ident::new("guard", Span::mixed_site());
    insert_guard(&mut function, &guard, &annotated, tollgate, errors);

    // The conversion below fails on a value that is no response. This span locates the error at
    // the return type, in the user's code.
    let output_span = match &function.sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => function.sig.ident.span(),
    };
    if let Some(inner) = inner {
        return (beside, wrap(inner, function, &guard, output_span, tollgate));
    }

    let output = Ident::new("output", output_span);
    let edge = return_edge(&function.sig.output, tollgate);
    function.sig.output = parse_quote!(-> #tollgate::Response);

    // Generated braces: the user's own would be reported as unused, and without any the body's
    // `use` declarations would shadow the names in the return edge.
    let body = function.body.stream();
    let body = quote!({ #body });
    let body_span = function.body.span();
    let tollgate_at_body = tollgate.at(body_span);
    let future = quote_spanned! {body_span=>
        #tollgate_at_body::require_send(async move { #edge #body })
    };
    let Function { attrs, vis, sig, .. } = function;
    // Only a refund has to be waited for.
    let finish = if refunds {
        quote!(#guard.finish_and_refund(response).await)
    } else {
        quote!(#guard.finish(response))
    };
    let function = quote! {
        #(#attrs)* #vis #sig {
            let #output = #future.await;
            let response = #tollgate::IntoLimitedResponse::into_limited(#output);
            #finish
        }
    };
    (beside, function)
}

/// Returns `true` if the function can be an inner function, unchanged, of one that returns its
/// future. The difference is not observable if no other macro processes the function, its arguments
/// are compiled unconditionally, and no lifetime is captured.
fn can_be_inner(function: &Function) -> bool {
    const INERT: [&str; 8] =
        ["allow", "cfg", "deny", "deprecated", "doc", "expect", "must_use", "warn"];
    let is_inert = |attribute: &Attribute| INERT.iter().any(|name| attribute.path().is_ident(name));
    !matches!(function.sig.safety, Safety::Unsafe(_))
        && function.attrs.iter().all(is_inert)
        && function.sig.generics.lifetimes().next().is_none()
        && function.sig.inputs.iter().all(|argument| match argument {
            FnArg::Typed(argument) => {
                argument.attrs.is_empty() && !has_lifetime(argument.ty.to_token_stream())
            }
            FnArg::Receiver(_) => false,
        })
}

fn has_lifetime(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Punct(punct) => punct.as_char() == '\'',
        TokenTree::Group(group) => has_lifetime(group.stream()),
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    })
}

/// The user's function as an inner function: its signature under another name.
struct InnerFn {
    sig: Signature,
    /// The arguments to call it with, which are the parameters of the outer function.
    arguments: Vec<Ident>,
}

/// Copies the signature for the inner function, and gives the outer function plain parameters.
fn take_inner(function: &mut Function) -> InnerFn {
    let mut sig = function.sig.clone();
    // The body refers to the outer function, with the limit, by the original name.
    sig.ident = format_ident!("__{}", sig.ident.unraw(), span = sig.ident.span());
    let mut arguments = Vec::new();
    for (index, argument) in function.sig.inputs.iter_mut().enumerate() {
        let FnArg::Typed(PatType { pat, .. }) = argument else { continue };
        let name = format_ident!("argument_{index}", span = Span::mixed_site());
        **pat = parse_quote!(#name);
        arguments.push(name);
    }
    InnerFn { sig, arguments }
}

/// Returns the outer function: it contains the user's function and wraps that function's future in
/// one of the library's. The compiler sees the body in the original `async fn`, so its diagnostics
/// are the same, and there is no second `async` block to compile.
fn wrap(
    inner: InnerFn,
    mut function: Function,
    guard: &Ident,
    output_span: Span,
    tollgate: &CratePath,
) -> TokenStream {
    function.sig.asyncness = None;
    function.sig.output =
        parse_quote!(-> impl ::core::future::Future<Output = #tollgate::Response>);
    let tollgate_at_output = tollgate.at(output_span);
    let convert = quote_spanned! {output_span=>
        #tollgate_at_output::IntoLimitedResponse::into_limited
    };
    let InnerFn { sig: inner, arguments } = inner;
    let (_, generics, _) = inner.generics.split_for_impl();
    let generics = generics.as_turbofish();
    // Located at the body, so that unmet bounds on the future are reported there.
    let body_span = function.body.span();
    let tollgate_at_body = tollgate.at(body_span);
    let name = Ident::new(&inner.ident.to_string(), body_span);
    let limited = quote_spanned! {body_span=>
        #tollgate_at_body::HandlerFuture::new(#guard, #name #generics(#(#arguments),*), #convert)
    };
    let Function { attrs, vis, sig, body } = function;
    // A handler is `async` even if it awaits nothing.
    quote! {
        #(#attrs)* #vis #sig {
            #[allow(clippy::unused_async)]
            #inner #body
            #limited
        }
    }
}

/// Returns the type from which the guard obtains the limits.
fn annotated_type(
    policies: &[Policy],
    function: &Function,
    annotated: &Ident,
    names: &Names<'_>,
) -> TokenStream {
    let (vis, tollgate) = (&function.vis, names.tollgate);
    // The type is compiled under the same conditions as the handler.
    let cfgs: Vec<&Attribute> =
        function.attrs.iter().filter(|attribute| is_named(attribute, "cfg")).collect();
    let count = policies.len();
    let shows = shows_decisions(function).then(|| quote!(.shows()));
    let limits = policies.iter().enumerate().map(|(index, policy)| {
        let limit = handler_limit(policy, index == 0, names);
        quote!(#limit #shows)
    });
    let register = limits::register(count, tollgate);
    let statics = limits::statics();
    quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #vis struct #annotated;

        #(#cfgs)*
        impl #tollgate::Annotated for #annotated {
            fn limits() -> &'static [#tollgate::HttpLimit] {
                static #statics: [#tollgate::HttpLimit; #count] = [#(#limits),*];
                #register
                &#statics
            }
        }
    }
}

/// Returns `true` if the handler takes `RateLimit`. Other handlers do not pay for it.
fn shows_decisions(function: &Function) -> bool {
    function.sig.inputs.iter().any(|argument| match argument {
        FnArg::Typed(argument) => mentions(argument.ty.to_token_stream(), "RateLimit"),
        FnArg::Receiver(_) => false,
    })
}

fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

fn handler_limit(policy: &Policy, is_first: bool, names: &Names<'_>) -> TokenStream {
    let tollgate = names.tollgate;
    let limit = limits::limit(policy, is_first, names);
    let key = policy.key.kind.key(tollgate);
    let cost = match &policy.cost {
        Some(Named { value: Cost::Function(path), .. }) => {
            quote_spanned!(path.span()=> #tollgate::Cost::Function(#path))
        }
        _ => {
            let cost = limits::constant_cost(policy);
            quote!(#tollgate::Cost::Fixed(#cost))
        }
    };
    let exempt = policy.exempt.as_ref().map(|argument| {
        let path = &argument.value;
        quote!(.exempt(#path))
    });
    let refund_if = policy.refund_if.as_ref().map(|argument| {
        let function = match &argument.value {
            RefundIf::Failure => quote!(#tollgate::failure),
            RefundIf::Success => quote!(#tollgate::success),
            RefundIf::Function(path) => quote!(#path),
        };
        quote!(.refund_if(#function))
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
    quote! {
        #tollgate::HttpLimit::new(#limit, #key, #cost)
            #exempt #refund_if #headers #on_missing_key #refusal
    }
}

/// Inserts the guard before the handler's extractors.
fn insert_guard(
    function: &mut Function,
    guard: &Ident,
    annotated: &Ident,
    tollgate: &CratePath,
    errors: &mut Errors,
) {
    // `#[debug_handler]` below this attribute infers the state's type from a bare `State<_>`, which
    // sharing the argument would hide.
    let keeps_state_bare = function.has_attr("debug_handler");
    let inputs = &mut function.sig.inputs;
    let has_room = inputs.len() < MAX_ARGUMENTS;
    let first_is_plain =
        matches!(inputs.first(), Some(FnArg::Typed(argument)) if argument.attrs.is_empty());
    if has_room && (keeps_state_bare || !first_is_plain) {
        let nothing =
            quote!(#tollgate::Checked((#guard, ()), _): #tollgate::Checked<#annotated, ()>);
        inputs.insert(0, parse_quote!(#nothing));
        return;
    }
    let host = inputs.iter_mut().find_map(|argument| match argument {
        FnArg::Typed(argument)
            if argument.attrs.is_empty() && !(keeps_state_bare && is_state(&argument.ty)) =>
        {
            Some(argument)
        }
        _ => None,
    });
    match host {
        Some(PatType { pat, ty: host_ty, .. }) => {
            **pat = parse_quote!(#tollgate::Checked((#guard, #pat), _));
            **host_ty = parse_quote!(#tollgate::Checked<#annotated, #host_ty>);
        }
        None => errors.at(
            inputs,
            "there is no room for the limit's guard: take out an argument, or leave one without \
             attributes",
        ),
    }
}

fn is_state(ty: &Type) -> bool {
    matches!(ty, Type::Path(path)
        if path.path.segments.last().is_some_and(|segment| segment.ident == "State"))
}
