//! Handler mode: one extractor for all of the handler's arguments.
//!
//! It is the last argument, contains the others as a tuple, and checks the limits before it extracts
//! them. Each of the others leaves a placeholder, so that the number of arguments stays the same:
//! `#[debug_handler]` above calls the handler with as many as it has seen.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{
    Attribute, FnArg, GenericArgument, Ident, Meta, Pat, PatType, PathArguments, ReturnType,
    Safety, Signature, Type, parse_quote,
};

use super::{Names, limits};
use crate::args::{Cost, Named};
use crate::crate_path::CratePath;
use crate::errors::Errors;
use crate::item::{Function, is_named, return_edge};
use crate::keywords::RefundIf;
use crate::policy::{Policy, find_self};

/// A handler is written once for each combination of this many different `#[cfg]`s on arguments.
const MAX_CFGS: usize = 4;

/// Attributes that concern the function as it was written: they go to the inner function, if there
/// is one.
const FOR_INNER: [&str; 2] = ["debug_handler", "instrument"];

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

/// Returns the type that names the limits, which goes beside the function, and the limited function.
pub(super) fn expand(
    policies: &[Policy],
    function: Function,
    names: &Names<'_>,
    errors: &mut Errors,
) -> (TokenStream, TokenStream) {
    let Names { function: name, owner, tollgate } = names;
    let annotated = match owner {
        Some(owner) => format_ident!("__rate_limit_{owner}_{name}", span = Span::mixed_site()),
        None => format_ident!("__rate_limit_{name}", span = Span::mixed_site()),
    };
    let beside = annotated_type(policies, &function, &annotated, names);

    // Documentation shows the function as it was written.
    let mut functions = quote!(#[cfg(doc)] #function);
    for (condition, variant) in variants(function, errors) {
        let limited = match owner {
            None if can_be_inner(&variant) => wrap(variant, &annotated, tollgate),
            _ => merge(variant, &annotated, tollgate),
        };
        functions.extend(quote!(#[cfg(all(#condition))] #limited));
    }
    (beside, functions)
}

/// Returns the function for each combination of the `#[cfg]`s on its arguments, without them, and
/// the condition of that combination: the elements of a tuple cannot have attributes.
fn variants(function: Function, errors: &mut Errors) -> Vec<(TokenStream, Function)> {
    let mut conditions: Vec<String> = Vec::new();
    for attribute in function.sig.inputs.iter().flat_map(attributes) {
        if let Some(condition) = cfg_condition(attribute)
            && !conditions.contains(&condition.to_string())
        {
            conditions.push(condition.to_string());
        }
    }
    if conditions.len() > MAX_CFGS {
        let message = format!("arguments have at most {MAX_CFGS} different `#[cfg(…)]`");
        errors.at(&function.sig.inputs, message);
        return Vec::new();
    }
    let combinations = 0..1_usize << conditions.len();
    combinations.map(|combination| variant(function.clone(), &conditions, combination)).collect()
}

/// Returns the function if those conditions hold whose bits are set in `combination`.
fn variant(
    mut function: Function,
    conditions: &[String],
    combination: usize,
) -> (TokenStream, Function) {
    let mut all = vec![quote!(not(doc))];
    let is_met = |condition: &TokenStream| {
        let text = condition.to_string();
        conditions
            .iter()
            .position(|known| *known == text)
            .is_some_and(|index| combination >> index & 1 == 1)
    };
    let mut seen = Vec::new();
    let inputs = std::mem::take(&mut function.sig.inputs);
    for mut argument in inputs {
        let mut is_kept = true;
        for condition in attributes(&argument).iter().filter_map(cfg_condition) {
            let is_met = is_met(&condition);
            is_kept &= is_met;
            let text = condition.to_string();
            if !seen.contains(&text) {
                seen.push(text);
                all.push(if is_met { condition } else { quote!(not(#condition)) });
            }
        }
        if is_kept {
            if let FnArg::Typed(argument) = &mut argument {
                argument.attrs.retain(|attribute| !attribute.path().is_ident("cfg"));
            }
            function.sig.inputs.push(argument);
        }
    }
    (quote!(#(#all),*), function)
}

fn attributes(argument: &FnArg) -> &[Attribute] {
    match argument {
        FnArg::Typed(argument) => &argument.attrs,
        FnArg::Receiver(receiver) => &receiver.attrs,
    }
}

fn cfg_condition(attribute: &Attribute) -> Option<TokenStream> {
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => Some(list.tokens.clone()),
        _ => None,
    }
}

/// Returns `true` if the function can be an inner function, unchanged, of one that returns its
/// future. The difference is not observable if no other macro processes the outer function, no
/// lifetime is captured, and the inner one can have the name that such a macro may show.
fn can_be_inner(function: &Function) -> bool {
    const INERT: [&str; 8] =
        ["allow", "cfg", "deny", "deprecated", "doc", "expect", "must_use", "warn"];
    let is_inert = |attribute: &Attribute| INERT.iter().any(|name| attribute.path().is_ident(name));
    let is_for_inner = |attribute: &Attribute| is_for_inner(attribute) && keeps_name(function);
    !matches!(function.sig.safety, Safety::Unsafe(_))
        && function.attrs.iter().all(|attribute| is_inert(attribute) || is_for_inner(attribute))
        && function.sig.generics.lifetimes().next().is_none()
        && function.sig.inputs.iter().all(|argument| match argument {
            FnArg::Typed(argument) => !has_lifetime(argument.ty.to_token_stream()),
            FnArg::Receiver(_) => false,
        })
}

fn is_for_inner(attribute: &Attribute) -> bool {
    FOR_INNER.iter().any(|name| is_named(attribute, name))
}

fn has_lifetime(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Punct(punct) => punct.as_char() == '\'',
        TokenTree::Group(group) => has_lifetime(group.stream()),
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    })
}

/// Returns `true` if the inner function can have the name of the outer one. A body that mentions
/// the name refers to the outer function, with the limit, unless an argument has the same name.
fn keeps_name(function: &Function) -> bool {
    let name = function.name();
    let body = function.body.stream();
    if !names_item(body.clone(), &name) {
        return true;
    }
    let is_argument = function.sig.inputs.iter().any(|argument| match argument {
        FnArg::Typed(argument) => {
            argument_name(&argument.pat).is_some_and(|own| own.unraw() == name)
        }
        FnArg::Receiver(_) => false,
    });
    // Items within the body do not see the arguments.
    is_argument && !mentions(body, "fn")
}

/// Returns `true` if the name occurs, other than in `value.name` or `path::name`, which are never an
/// item of a surrounding function.
fn names_item(tokens: TokenStream, name: &str) -> bool {
    let mut before = [' '; 2];
    tokens.into_iter().any(|token| {
        let is_named = match &token {
            TokenTree::Ident(ident) => {
                ident.unraw() == name
                    && before != [':', ':']
                    && (before[1] != '.' || before[0] == '.')
            }
            TokenTree::Group(group) => names_item(group.stream(), name),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        };
        let this = if let TokenTree::Punct(punct) = &token { punct.as_char() } else { ' ' };
        before = [before[1], this];
        is_named
    })
}

/// Returns the name of an argument: of `id`, `mut id` and `Path(id)` it is `id`.
fn argument_name(pattern: &Pat) -> Option<&Ident> {
    match pattern {
        Pat::Ident(pattern) => Some(&pattern.ident),
        Pat::TupleStruct(pattern) if pattern.elems.len() == 1 => argument_name(&pattern.elems[0]),
        _ => None,
    }
}

/// Returns the outer function: it contains the user's function and wraps that function's future in
/// one of the library's. The compiler sees the body in the original `async fn`, so its diagnostics
/// are the same, and there is no second `async` block to compile.
fn wrap(mut function: Function, annotated: &Ident, tollgate: &CratePath) -> TokenStream {
    let mut inner = function.sig.clone();
    if !keeps_name(&function) {
        inner.ident = format_ident!("__{}", inner.ident.unraw(), span = inner.ident.span());
    }
    // Located at the body, so that unmet bounds on the future are reported there.
    let body_span = function.body.span();
    let mut name = inner.ident.clone();
    name.set_span(body_span);
    // The conversion fails on a value that is no response, which is reported at the return type.
    let output_span = output_span(&function.sig);

    let (mut arguments, mut types, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (index, argument) in function.sig.inputs.iter().enumerate() {
        let FnArg::Typed(PatType { pat, ty, .. }) = argument else { continue };
        let argument = format_ident!("argument_{index}", span = Span::mixed_site());
        let own = argument_name(pat).filter(|own| !names.contains(*own)).map(|own| {
            let mut own = own.clone();
            own.set_span(Span::mixed_site());
            own
        });
        names.push(own.unwrap_or_else(|| argument.clone()));
        arguments.push(argument);
        types.push(ty);
    }
    // The inner function would hide a parameter of its own name.
    let last = names.pop().filter(|last| *last != inner.ident).unwrap_or_else(|| {
        format_ident!("arguments_of_{}", inner.ident.unraw(), span = Span::mixed_site())
    });
    let mut inputs = Punctuated::new();
    inputs.extend(names.iter().map(|name| -> FnArg { parse_quote!(#name: #tollgate::InLast) }));
    inputs.push(parse_quote!(#last: #tollgate::Checked<#annotated, (#(#types,)*)>));

    function.sig.inputs = inputs;
    function.sig.asyncness = None;
    function.sig.output =
        parse_quote!(-> impl ::core::future::Future<Output = #tollgate::Response>);
    let tollgate_at_output = tollgate.at(output_span);
    let convert = quote_spanned! {output_span=>
        #tollgate_at_output::IntoLimitedResponse::into_limited
    };
    let admission = Ident::new("admission", Span::mixed_site());
    let (_, generics, _) = inner.generics.split_for_impl();
    let generics = generics.as_turbofish();
    let tollgate_at_body = tollgate.at(body_span);
    let limited = quote_spanned! {body_span=>
        #tollgate_at_body::HandlerFuture::new(#admission, #name #generics(#(#arguments),*), #convert)
    };
    let Function { mut attrs, vis, sig, body } = function;
    let inner_attrs: Vec<Attribute> =
        attrs.extract_if(.., |attribute| is_for_inner(attribute)).collect();
    // A handler is `async` even if it awaits nothing.
    quote! {
        #(#attrs)* #vis #sig {
            #[allow(clippy::unused_async)]
            #(#inner_attrs)*
            #inner #body
            let #tollgate::Checked(#admission, (#(#arguments,)*), _) = #last;
            #limited
        }
    }
}

/// Returns the function with the check merged into it.
fn merge(mut function: Function, annotated: &Ident, tollgate: &CratePath) -> TokenStream {
    let guard = Ident::new("guard", Span::mixed_site());
    name_state(&mut function);
    merge_arguments(&mut function.sig, &guard, annotated, tollgate);

    // The conversion below fails on a value that is no response. This span locates the error at
    // the return type, in the user's code.
    let output = Ident::new("output", output_span(&function.sig));
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
    quote! {
        #(#attrs)* #vis #sig {
            let #output = #future.await;
            let response = #tollgate::IntoLimitedResponse::into_limited(#output);
            #guard.finish(response).await
        }
    }
}

/// Puts all arguments into the last. Their patterns stay in the signature, where other attributes
/// find them.
fn merge_arguments(sig: &mut Signature, guard: &Ident, annotated: &Ident, tollgate: &CratePath) {
    let mut patterns = Vec::new();
    let mut types = Vec::new();
    let mut inputs = Punctuated::new();
    for argument in &sig.inputs {
        let FnArg::Typed(PatType { pat, ty, .. }) = argument else { continue };
        patterns.push(pat);
        types.push(ty);
        inputs.push(parse_quote!(_: #tollgate::InLast));
    }
    inputs.pop();
    inputs.push(parse_quote! {
        #tollgate::Checked(#guard, (#(#patterns,)*), _):
            #tollgate::Checked<#annotated, (#(#types,)*)>
    });
    sig.inputs = inputs;
}

/// Names the state in a `#[debug_handler]` that would infer its type from a `State<_>` among the
/// arguments, where it no longer is.
fn name_state(function: &mut Function) {
    let states = function.sig.inputs.iter().filter_map(|argument| match argument {
        FnArg::Typed(argument) => state_type(&argument.ty).map(|ty| ty.to_token_stream()),
        FnArg::Receiver(_) => None,
    });
    let states: Vec<TokenStream> = states.collect();
    let [state, others @ ..] = &*states else { return };
    if others.iter().any(|other| other.to_string() != state.to_string()) {
        return;
    }
    for attribute in &mut function.attrs {
        if is_named(attribute, "debug_handler")
            && !matches!(&attribute.meta, Meta::List(list) if !list.tokens.is_empty())
        {
            let path = attribute.path().clone();
            attribute.meta = parse_quote!(#path(state = #state));
        }
    }
}

/// Returns `T` of `State<T>`.
fn state_type(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == "State")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(state)) => Some(state),
        _ => None,
    }
}

fn output_span(sig: &Signature) -> Span {
    match &sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => sig.ident.span(),
    }
}

/// Returns the type from which the extractor obtains the limits.
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
