//! Puts the handler, unchanged, inside a new function that checks the limits.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::{Attribute, FnArg, Ident, Pat, PatType, Safety, parse_quote};

use super::merged::output_span;
use crate::crate_path::CratePath;
use crate::item::{Function, has_lifetime, is_named, mentions};

/// Attributes that must see the original function, and so are moved to the inner function.
const FOR_INNER: [&str; 2] = ["debug_handler", "instrument"];

/// Returns `true` if the function can become the inner function. Users must not observe a
/// difference, so no other macro may process the outer function, and no lifetime may be captured.
/// Attributes that are moved to the inner function may show its name, so it must then have the same
/// name as the outer one. The function can be neither `unsafe` nor a method.
pub(super) fn is_possible(function: &Function) -> bool {
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

/// Returns `true` if the inner function can have the same name as the outer one. It cannot if the
/// body mentions the name as an item, because there it means the outer function, which has the
/// limit. If an argument has the same name, the body means the argument.
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
    // Functions within the body do not see the arguments, so there the name would mean the
    // function.
    is_argument && !mentions(body, "fn")
}

/// Returns `true` if the name occurs in the tokens in a place where it may mean an item of a
/// surrounding function. In `value.name` and `path::name` it never does.
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

/// Returns the variable that an argument's pattern binds: `id` for the patterns `id`, `mut id` and
/// `Path(id)`. Returns `None` for other patterns.
fn argument_name(pattern: &Pat) -> Option<&Ident> {
    match pattern {
        Pat::Ident(pattern) => Some(&pattern.ident),
        Pat::TupleStruct(pattern) if pattern.elems.len() == 1 => argument_name(&pattern.elems[0]),
        _ => None,
    }
}

/// Returns the outer function. It contains the user's function, and wraps that function's future in
/// the library's `HandlerFuture`. The compiler sees the body in the original `async fn`, so its
/// diagnostics are the same, and there is no second `async` block to compile.
pub(super) fn expand(
    mut function: Function,
    provider: &TokenStream,
    tollgate: &CratePath,
) -> TokenStream {
    let mut inner = function.sig.clone();
    if !keeps_name(&function) {
        inner.ident = format_ident!("__{}", inner.ident.unraw(), span = inner.ident.span());
    }
    // The call's tokens are located at the body, so that the compiler reports unmet bounds on the
    // future there.
    let body_span = function.body.span();
    let mut name = inner.ident.clone();
    name.set_span(body_span);
    // The conversion does not compile for a value that is not a response. This span locates the
    // error at the return type.
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
    // The inner function would shadow a parameter of the same name, so such a parameter gets
    // another name.
    let last = names.pop().filter(|last| *last != inner.ident).unwrap_or_else(|| {
        format_ident!("arguments_of_{}", inner.ident.unraw(), span = Span::mixed_site())
    });
    let mut inputs = Punctuated::new();
    inputs.extend(
        names.iter().map(|name| -> FnArg { parse_quote!(#name: #tollgate::GivenByRouter) }),
    );
    inputs.push(parse_quote!(#last: #tollgate::ArgumentsGivenByRouter<#provider, (#(#types,)*)>));

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
    // The lint is allowed because a handler must be `async` even if it awaits nothing.
    quote! {
        #(#attrs)* #vis #sig {
            #[allow(clippy::unused_async)]
            #(#inner_attrs)*
            #inner #body
            let #tollgate::ArgumentsGivenByRouter(#admission, (#(#arguments,)*), _) = #last;
            #limited
        }
    }
}
