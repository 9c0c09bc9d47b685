//! Handler mode: a guard in front of the handler's own extractors.
//!
//! The guard joins an existing argument, so that the number of arguments stays: 16 extractors
//! still work, and so does `#[debug_handler]` above. It asks before they run, because axum
//! extracts the arguments in order, and a tuple from left to right.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Attribute, FnArg, Ident, PatType, ReturnType, Safety, Signature, Type, parse_quote};

use super::limits;
use crate::args::{Cost, Given};
use crate::errors::Errors;
use crate::item::{Function, is_named, return_edge};
use crate::policy::{Policy, find_self};
use crate::private::Private;
use crate::words::RefundIf;

/// axum implements `Handler` for functions of up to this many arguments.
const MAX_ARGUMENTS: usize = 16;

/// Reports what cannot be an axum handler, or not where it stands.
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
    let written = (!is_in_block && !is_method).then(|| function.sig.to_token_stream());
    if let Some(word) = written.and_then(find_self) {
        errors.at(
            word,
            "a handler in an `impl` block needs `#[rate_limit]` on the block, too: write it there, \
             without arguments",
        );
    }
}

/// Whether the type is a number, a truth or a letter.
fn is_plain_value(ty: &Type) -> bool {
    const NAMES: [&str; 16] = [
        "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16",
        "u32", "u64", "u128", "usize",
    ];
    matches!(ty, Type::Path(path)
        if path.path.get_ident().is_some_and(|name| NAMES.iter().any(|known| name == known)))
}

/// The type that names the limits, to stand beside the function, and the function with its
/// guard.
pub(super) fn expand(
    policies: &[Policy],
    mut function: Function,
    owner: Option<&str>,
    private: &Private,
    errors: &mut Errors,
) -> (TokenStream, TokenStream) {
    let name = function.name();
    let annotated = match owner {
        Some(owner) => format_ident!("__rate_limit_{owner}_{name}", span = Span::mixed_site()),
        None => format_ident!("__rate_limit_{name}", span = Span::mixed_site()),
    };
    let beside = annotated_type(policies, &function, owner, &annotated, private);

    let refunds = policies.iter().any(|policy| policy.refund_if.is_some());
    let inside = (owner.is_none() && !refunds && can_stand_inside(&function))
        .then(|| take_inside(&mut function));

    let guard = Ident::new("guard", Span::mixed_site());
    insert_guard(&mut function, &guard, &annotated, private, errors);

    // The conversion below fails on a value that is no response. The error goes where this
    // span is: at the return type, and to the user's code.
    let output_span = match &function.sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => function.sig.ident.span(),
    };
    if let Some(inside) = inside {
        return (beside, around(inside, function, &guard, output_span, private));
    }

    let output = Ident::new("output", output_span);
    let edge = return_edge(&function.sig.output, private);
    function.sig.output = parse_quote!(-> #private::Response);

    // Braces of our own: the user's would be reported as unused, and without any the body's
    // `use` declarations would shadow the names in the return edge.
    let body = function.body.stream();
    let body = quote!({ #body });
    let body_span = function.body.span();
    let private_at_body = private.at(body_span);
    let future = quote_spanned! {body_span=>
        #private_at_body::require_send(async move { #edge #body })
    };
    let Function { attrs, vis, sig, .. } = function;
    // Only where something may be given back is there something to wait for.
    let finish = if refunds {
        quote!(#guard.finish_and_refund(response).await)
    } else {
        quote!(#guard.finish(response))
    };
    let function = quote! {
        #(#attrs)* #vis #sig {
            let #output = #future.await;
            let response = #private::IntoLimitedResponse::into_limited(#output);
            #finish
        }
    };
    (beside, function)
}

/// Whether the function can stand as it is inside of one that returns its future: nobody sees
/// the difference if no other macro looks at it, its arguments stand there in any case, and no
/// lifetime is captured.
fn can_stand_inside(function: &Function) -> bool {
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

/// What stands inside: the signature as it was written, but for its name.
struct Inside {
    sig: Signature,
    /// What it is called with: the names of the arguments of the function around it.
    arguments: Vec<Ident>,
}

fn take_inside(function: &mut Function) -> Inside {
    let mut sig = function.sig.clone();
    // The body's own mentions of the function mean the one with the limit.
    sig.ident = format_ident!("__{}", sig.ident.unraw(), span = sig.ident.span());
    let mut arguments = Vec::new();
    for (index, argument) in function.sig.inputs.iter_mut().enumerate() {
        let FnArg::Typed(PatType { pat, .. }) = argument else { continue };
        let name = format_ident!("argument_{index}", span = Span::mixed_site());
        **pat = parse_quote!(#name);
        arguments.push(name);
    }
    Inside { sig, arguments }
}

/// The function with the user's own inside of it, and a future of the library's around the
/// future of that. The compiler sees the body in an `async fn` as it was written, so that it says
/// the same of it, and has no second one to compile.
fn around(
    inside: Inside,
    mut function: Function,
    guard: &Ident,
    output_span: Span,
    private: &Private,
) -> TokenStream {
    function.sig.asyncness = None;
    function.sig.output = parse_quote!(-> impl ::core::future::Future<Output = #private::Response>);
    let private_at_output = private.at(output_span);
    let convert = quote_spanned! {output_span=>
        #private_at_output::IntoLimitedResponse::into_limited
    };
    let Inside { sig: inner, arguments } = inside;
    let (_, generics, _) = inner.generics.split_for_impl();
    let generics = generics.as_turbofish();
    // All of it there, so that what is asked of the future is reported there.
    let body_span = function.body.span();
    let private_at_body = private.at(body_span);
    let name = Ident::new(&inner.ident.to_string(), body_span);
    let limited = quote_spanned! {body_span=>
        #private_at_body::HandlerFuture::new(#guard, #name #generics(#(#arguments),*), #convert)
    };
    let Function { attrs, vis, sig, body } = function;
    // A handler that waits for nothing is `async` all the same.
    quote! {
        #(#attrs)* #vis #sig {
            #[allow(clippy::unused_async)]
            #inner #body
            #limited
        }
    }
}

/// The type by which the guard knows the limits.
fn annotated_type(
    policies: &[Policy],
    function: &Function,
    owner: Option<&str>,
    annotated: &Ident,
    private: &Private,
) -> TokenStream {
    let vis = &function.vis;
    // What the handler is compiled under, so is this.
    let cfgs: Vec<&Attribute> =
        function.attrs.iter().filter(|attribute| is_named(attribute, "cfg")).collect();
    let count = policies.len();
    let name = function.name();
    let shows = shows_decisions(function).then(|| quote!(.shows()));
    let limits = policies.iter().enumerate().map(|(index, policy)| {
        let limit = handler_limit(policy, &name, owner, index == 0, private);
        quote!(#limit #shows)
    });
    let register = limits::register(count, private);
    let statics = limits::statics();
    quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #vis struct #annotated;

        #(#cfgs)*
        impl #private::Annotated for #annotated {
            fn limits() -> &'static [#private::HttpLimit] {
                static #statics: [#private::HttpLimit; #count] = [#(#limits),*];
                #register
                &#statics
            }
        }
    }
}

/// Whether the handler takes `RateLimit`. Others are spared what that costs.
fn shows_decisions(function: &Function) -> bool {
    function.sig.inputs.iter().any(|argument| match argument {
        FnArg::Typed(argument) => names(argument.ty.to_token_stream(), "RateLimit"),
        FnArg::Receiver(_) => false,
    })
}

fn names(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => names(group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

fn handler_limit(
    policy: &Policy,
    function: &str,
    owner: Option<&str>,
    is_first: bool,
    private: &Private,
) -> TokenStream {
    let limit = limits::limit(policy, function, owner, is_first, private);
    let key = policy.key.kind.key(private);
    let cost = match &policy.cost {
        Some(Given { value: Cost::Function(path), .. }) => {
            quote_spanned!(path.span()=> #private::Cost::Function(#path))
        }
        _ => {
            let cost = limits::constant_cost(policy);
            quote!(#private::Cost::Fixed(#cost))
        }
    };
    let exempt = policy.exempt.as_ref().map(|given| {
        let path = &given.value;
        quote!(.exempt(#path))
    });
    let refund_if = policy.refund_if.as_ref().map(|given| {
        let function = match &given.value {
            RefundIf::Failure => quote!(#private::failure),
            RefundIf::Success => quote!(#private::success),
            RefundIf::Function(path) => quote!(#path),
        };
        quote!(.refund_if(#function))
    });
    let headers = policy.headers.as_ref().map(|given| {
        let style = given.value.tokens(private);
        quote!(.headers(#style))
    });
    let on_missing_key = policy.on_missing_key.as_ref().map(|given| {
        let mode = given.value.tokens(private);
        quote!(.on_missing_key(#mode))
    });
    let refusal = policy.refusal.as_ref().map(|given| {
        let path = &given.value;
        let private = private.at(path.span());
        quote_spanned!(path.span()=> .refusal(|refusal| #private::answered(#path(refusal))))
    });
    quote! {
        #private::HttpLimit::new(#limit, #key, #cost)
            #exempt #refund_if #headers #on_missing_key #refusal
    }
}

/// Puts the guard before everything that is extracted.
fn insert_guard(
    function: &mut Function,
    guard: &Ident,
    annotated: &Ident,
    private: &Private,
    errors: &mut Errors,
) {
    // `#[debug_handler]` below ours infers the state's type from a bare `State<_>`, which
    // merging would hide.
    let keeps_state_bare = function.has_attr("debug_handler");
    let inputs = &mut function.sig.inputs;
    let has_room = inputs.len() < MAX_ARGUMENTS;
    let first_is_plain =
        matches!(inputs.first(), Some(FnArg::Typed(argument)) if argument.attrs.is_empty());
    if has_room && (keeps_state_bare || !first_is_plain) {
        let nothing = quote!(#private::Checked((#guard, ()), _): #private::Checked<#annotated, ()>);
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
            **pat = parse_quote!(#private::Checked((#guard, #pat), _));
            **host_ty = parse_quote!(#private::Checked<#annotated, #host_ty>);
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
