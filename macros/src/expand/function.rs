//! Function mode: a check at the beginning of the body, which follows as it is.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, ReturnType};

use super::limits;
use crate::errors::Errors;
use crate::item::{Function, erase_impl_trait, return_edge};
use crate::key::Kind;
use crate::policy::Policy;
use crate::private::Private;
use crate::words::RefundIf;

/// Reports what cannot be told that a limit is reached.
pub(super) fn check(function: &Function, errors: &mut Errors) {
    if function.sig.constness.is_some() {
        errors.at(function.sig.constness, "a `const fn` cannot be limited: remove `const`");
    }
    if let ReturnType::Default = function.sig.output {
        errors.at(
            &function.sig.ident,
            "a function with a limit returns a `Result`, to say when the limit is reached: write \
             `-> Result<(), E>` with an `E` that is `From<tollgate::RateLimited>`",
        );
    }
}

/// The function with the check in it.
pub(super) fn expand(
    policies: &[Policy],
    mut function: Function,
    is_async: bool,
    owner: Option<&str>,
    private: &Private,
) -> Function {
    let name = function.name();
    let boxed = function.boxed_future();
    let is_async = is_async || boxed.is_some();
    let check = check_call(policies, &function.sig.output, &name, owner, is_async, private);
    function.body = match boxed {
        // What `#[async_trait]` has made of an async fn: the check goes where it was.
        Some((before, block)) => {
            let stream = block.stream();
            let inner = quote!(#check { #stream });
            let pinned = quote!(#before (async move { #inner }));
            braces(pinned, function.body.span())
        }
        None => {
            let body = function.body.stream();
            let edge = return_edge(&function.sig.output, private);
            let call = call(policies, &function.sig.output, &edge, &body, is_async, private);
            braces(quote!(#check #call), function.body.span())
        }
    };
    function
}

fn braces(stream: TokenStream, span: Span) -> Group {
    let mut group = Group::new(Delimiter::Brace, stream);
    group.set_span(span);
    group
}

/// Asks, and returns if the answer is no. Leaves a permit behind if something may be given
/// back.
fn check_call(
    policies: &[Policy],
    output: &ReturnType,
    name: &str,
    owner: Option<&str>,
    is_async: bool,
    private: &Private,
) -> TokenStream {
    let count = policies.len();
    let limits = policies
        .iter()
        .enumerate()
        .map(|(index, policy)| call_limit(policy, name, owner, index == 0, private));
    let register = limits::register(count, private);
    let statics = limits::statics();
    let subjects = policies.iter().map(|policy| subject(policy, private));
    // The user's expressions see none of these names.
    let site = Span::mixed_site();
    let permit = if refunds_nothing(policies) { quote!(_) } else { permit().to_token_stream() };
    let limited = Ident::new("limited", site);
    let ask = if is_async {
        quote_spanned!(site=> #private::admit(limits, subjects).await)
    } else {
        quote_spanned!(site=> #private::admit_now(limits, subjects))
    };
    // A return type that has no room for the refusal is reported where it is written.
    let output_span = match output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => Span::call_site(),
    };
    let private_at_output = private.at(output_span);
    let refuse = quote_spanned! {output_span=>
        return #private_at_output::refuse(#limited)
    };
    quote_spanned! {site=>
        let #permit = {
            let limits = {
                static #statics: [#private::CallLimit; #count] = [#(#limits),*];
                #register
                &#statics
            };
            let subjects = ::std::vec![#(#subjects),*];
            match #ask {
                ::core::result::Result::Ok(permit) => permit,
                ::core::result::Result::Err(#limited) => #refuse,
            }
        };
    }
}

fn refunds_nothing(policies: &[Policy]) -> bool {
    policies.iter().all(|policy| policy.refund_if.is_none())
}

/// What the check leaves behind for what follows the body.
fn permit() -> Ident {
    Ident::new("permit", Span::mixed_site())
}

fn call_limit(
    policy: &Policy,
    function: &str,
    owner: Option<&str>,
    is_first: bool,
    private: &Private,
) -> TokenStream {
    let limit = limits::limit(policy, function, owner, is_first, private);
    let cost = limits::constant_cost(policy);
    let wait = policy.wait.as_ref().map(|given| {
        let patience = given.value.tokens(private);
        quote!(.wait(#patience))
    });
    let refunds = policy.refund_if.as_ref().map(|_| quote!(.refunds()));
    quote!(#private::CallLimit::new(#limit, #cost)#wait #refunds)
}

/// The subject of a call, made of its arguments.
fn subject(policy: &Policy, private: &Private) -> TokenStream {
    let parts: &[Expr] = match &policy.key.kind {
        Kind::Args(parts) => parts,
        _ => &[],
    };
    let parts = parts.iter().map(|part| quote_spanned!(part.span()=> &(#part)));
    quote!(#private::subject(&[#(#parts),*]))
}

/// The body, and after it whatever is given back.
fn call(
    policies: &[Policy],
    output: &ReturnType,
    edge: &TokenStream,
    body: &TokenStream,
    is_async: bool,
    private: &Private,
) -> TokenStream {
    if refunds_nothing(policies) {
        return quote!({ #body });
    }
    let (site, permit) = (Span::mixed_site(), permit());
    let result = Ident::new("result", site);
    let conditions =
        policies.iter().map(|policy| match policy.refund_if.as_ref().map(|given| &given.value) {
            None => quote!(false),
            Some(RefundIf::Failure) => quote!(::core::result::Result::is_err(&#result)),
            Some(RefundIf::Success) => quote!(::core::result::Result::is_ok(&#result)),
            Some(RefundIf::Function(path)) => {
                let private = private.at(path.span());
                quote_spanned!(path.span()=> #private::holds(&#result, #path))
            }
        });
    if is_async {
        quote_spanned! {site=>
            let #result = async move { #edge { #body } }.await;
            #permit.refund(&[#(#conditions),*]).await;
            #result
        }
    } else {
        let output = match output {
            ReturnType::Type(_, ty) => erase_impl_trait(ty),
            ReturnType::Default => quote!(()),
        };
        quote_spanned! {site=>
            let #result = #private::call_once(move || -> #output { #body });
            #permit.refund_now(&[#(#conditions),*]);
            #result
        }
    }
}

impl Function {
    /// If the body ends in `Box::pin(async move { … })`: what precedes the parentheses, and the
    /// block.
    fn boxed_future(&self) -> Option<(TokenStream, Group)> {
        let mut tokens: Vec<TokenTree> = self.body.stream().into_iter().collect();
        let TokenTree::Group(arguments) = tokens.pop()? else { return None };
        let before: TokenStream = tokens.into_iter().collect();
        let is_box_pin = before.to_string().replace(' ', "").ends_with("Box::pin");
        let inner: Vec<TokenTree> = arguments.stream().into_iter().collect();
        match inner.as_slice() {
            [TokenTree::Ident(keyword), TokenTree::Ident(capture), TokenTree::Group(block)]
                if is_box_pin && keyword == "async" && capture == "move" =>
            {
                Some((before, block.clone()))
            }
            _ => None,
        }
    }
}
