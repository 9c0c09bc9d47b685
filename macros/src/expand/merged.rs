//! Merges the check into the handler itself. This is for handlers that cannot become an inner
//! function (see `wrapped.rs`): methods, and functions that other attributes process.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{
    FnArg, GenericArgument, Ident, Meta, PatType, PathArguments, ReturnType, Signature, Type,
    parse_quote,
};

use crate::crate_path::CratePath;
use crate::groups;
use crate::item::{Function, is_named, return_edge};

/// Returns the name of the variable that contains the admission.
pub(super) fn guard() -> Ident {
    Ident::new("__guard", Span::mixed_site())
}

/// Returns the function with the check merged into it. `provider` is the type that provides the
/// limits. The statements `before` precede the function's body; they may return a response.
pub(super) fn expand(
    mut function: Function,
    provider: &TokenStream,
    before: &TokenStream,
    tollgate: &CratePath,
) -> TokenStream {
    let guard = guard();
    name_state(&mut function);
    merge_arguments(&mut function.sig, &guard, provider, tollgate);

    // The conversion below does not compile for a value that is not a response. This span locates
    // the error at the return type, in the user's code.
    let output = Ident::new("__output", output_span(&function.sig).resolved_at(Span::mixed_site()));
    let response = Ident::new("__response", Span::mixed_site());
    let edge = return_edge(&function.sig.output, tollgate);
    function.sig.output = parse_quote!(-> #tollgate::Response);

    // Generates new braces around the body. The compiler would report the user's own braces as
    // unused. Without braces, the body's `use` declarations would shadow the names in `edge`.
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
            #before
            let #output = #future.await;
            let #response = #tollgate::IntoLimitedResponse::into_limited(#output);
            #guard.finish(#response).await
        }
    }
}

/// Moves all arguments into the last one, as a tuple. Their patterns stay in the signature, because
/// other attributes read them there.
fn merge_arguments(
    sig: &mut Signature,
    guard: &Ident,
    provider: &TokenStream,
    tollgate: &CratePath,
) {
    let mut patterns = Vec::new();
    let mut types = Vec::new();
    let mut inputs = Punctuated::new();
    for argument in &sig.inputs {
        let FnArg::Typed(PatType { pat, ty, .. }) = argument else { continue };
        patterns.push(pat);
        types.push(ty);
        inputs.push(parse_quote!(_: #tollgate::GivenByRouter));
    }
    inputs.pop();
    inputs.push(parse_quote! {
        #tollgate::ArgumentsGivenByRouter(#guard, (#(#patterns,)*), _):
            #tollgate::ArgumentsGivenByRouter<#provider, (#(#types,)*)>
    });
    sig.inputs = inputs;
}

/// Adds `state = …` to a `#[debug_handler]` without arguments. It would otherwise infer the state's
/// type from an argument `State<_>`, which the merged signature no longer has.
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

/// Returns `T` if the type is `State<T>`, and otherwise `None`.
fn state_type(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = groups::ty(ty) else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == "State")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(state)) => Some(state),
        _ => None,
    }
}

/// Returns the location at which the compiler reports a return type that is not a response.
pub(super) fn output_span(sig: &Signature) -> Span {
    match &sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => sig.ident.span(),
    }
}
