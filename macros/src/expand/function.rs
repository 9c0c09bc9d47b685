//! Function mode: inserts a check before the function's body. The tokens of the body do not change.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::ReturnType;
use syn::spanned::Spanned as _;

use super::{Names, late, limits};
use crate::args::Named;
use crate::errors::Errors;
use crate::item::{Function, erase_impl_trait, return_edge};
use crate::keywords::{RefundIf, Settle};
use crate::policy::Policy;

/// Reports mistakes in the signature: a limited function cannot be `const`, and it must have a
/// return type that can contain a refusal.
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

/// Returns the function with the check inserted into its body.
pub(super) fn expand(
    policies: &[Policy],
    mut function: Function,
    is_async: bool,
    names: &Names<'_>,
) -> Function {
    let boxed = function.boxed_future();
    let output = function.sig.output.clone();
    let is_async = is_async || boxed.is_some();
    let call = Call { policies, output: &output, is_async, names };
    let check = call.check();
    function.body = match boxed {
        // `#[async_trait]` has moved the body of an `async fn` into this block, so the check is
        // inserted into the block.
        Some((before, block)) => {
            let stream = block.stream();
            let inner = quote!(#check { #stream });
            let pinned = quote!(#before (async move { #inner }));
            braces(pinned, function.body.span())
        }
        None => {
            let body = call.body(&function.body.stream());
            braces(quote!(#check #body), function.body.span())
        }
    };
    function
}

fn braces(stream: TokenStream, span: Span) -> Group {
    let mut group = Group::new(Delimiter::Brace, stream);
    group.set_span(span);
    group
}

/// Generates the parts of a limited function's new body: the check, the original body, and the
/// adjustment of the charges after it.
struct Call<'a> {
    policies: &'a [Policy],
    output: &'a ReturnType,
    is_async: bool,
    names: &'a Names<'a>,
}

impl Call<'_> {
    /// Returns statements that check the limits and, if a limit refuses, return the refusal from
    /// the function. If charges may be adjusted, the statements also bind the permit for that.
    fn check(&self) -> TokenStream {
        let (policies, tollgate) = (self.policies, self.names.tollgate);
        let count = policies.len();
        let limits =
            policies.iter().enumerate().map(|(index, policy)| self.call_limit(policy, index == 0));
        let register = limits::register(count, tollgate);
        let statics = limits::statics();
        let calls = policies.iter().map(|policy| {
            let args = policy.key.args().map(late::reference);
            let cost = policy.cost_of_args().map(|cost| {
                let units = late::units(cost, tollgate);
                quote!(.cost(#units))
            });
            quote!(#tollgate::Call::new(&[#(#args),*]) #cost)
        });
        // Macro hygiene hides names with this span from the user's expressions.
        let site = Span::mixed_site();
        let permit = match (self.adjusts(), self.holds()) {
            (true, _) => permit().to_token_stream(),
            (false, true) => Ident::new("_permit", site).to_token_stream(),
            (false, false) => quote!(_),
        };
        let limited = Ident::new("limited", site);
        let ask = if self.is_async {
            quote_spanned!(site=> #tollgate::admit(limits, calls).await)
        } else {
            quote_spanned!(site=> #tollgate::admit_now(limits, calls))
        };
        // If the return type cannot contain the refusal, the compiler reports that at the return
        // type.
        let output_span = match self.output {
            ReturnType::Type(_, ty) => ty.span(),
            ReturnType::Default => Span::call_site(),
        };
        let tollgate_at_output = tollgate.at(output_span);
        let refuse = quote_spanned! {output_span=>
            return #tollgate_at_output::refuse(#limited)
        };
        quote_spanned! {site=>
            let #permit = {
                let limits = {
                    static #statics: [#tollgate::CallLimit; #count] = [#(#limits),*];
                    #register
                    &#statics
                };
                let calls = ::std::vec![#(#calls),*];
                match #ask {
                    ::core::result::Result::Ok(permit) => permit,
                    ::core::result::Result::Err(#limited) => #refuse,
                }
            };
        }
    }

    fn call_limit(&self, policy: &Policy, is_first: bool) -> TokenStream {
        let tollgate = self.names.tollgate;
        let limit = limits::limit(policy, is_first, self.names);
        let cost = limits::constant_cost(policy);
        let wait = policy.wait.as_ref().map(|argument| {
            let max_wait = argument.value.tokens(tollgate);
            quote!(.wait(#max_wait))
        });
        let refunds = policy.refund_if.as_ref().map(|argument| {
            let without_result = matches!(argument.value, RefundIf::Failure);
            quote!(.refunds(#without_result))
        });
        let settles = policy.settle.as_ref().map(|_| quote!(.settles()));
        quote!(#tollgate::CallLimit::new(#limit, #cost)#wait #refunds #settles)
    }

    /// Returns the body as an expression. If charges may be adjusted, that follows the body.
    fn body(&self, body: &TokenStream) -> TokenStream {
        if !self.adjusts() {
            return quote!({ #body });
        }
        let tollgate = self.names.tollgate;
        let (site, permit) = (Span::mixed_site(), permit());
        let result = Ident::new("result", site);
        let adjustments = self.policies.iter().map(|policy| self.adjustment(policy, &result));
        if self.is_async {
            let edge = return_edge(self.output, tollgate);
            quote_spanned! {site=>
                let #result = async move { #edge { #body } }.await;
                #permit.finish(&[#(#adjustments),*]).await;
                #result
            }
        } else {
            let output = match self.output {
                ReturnType::Type(_, ty) => erase_impl_trait(ty),
                ReturnType::Default => quote!(()),
            };
            quote_spanned! {site=>
                let #result = #tollgate::call_once(move || -> #output { #body });
                #permit.finish_now(&[#(#adjustments),*]);
                #result
            }
        }
    }

    /// Returns an expression for the adjustment that is due after the call.
    fn adjustment(&self, policy: &Policy, result: &Ident) -> TokenStream {
        let tollgate = self.names.tollgate;
        if let Some(Named { value: Settle::Function(path), .. }) = &policy.settle {
            let tollgate = tollgate.at(path.span());
            return quote_spanned! {path.span()=>
                #tollgate::AfterCall::settle(#tollgate::came_to(&#result, #path))
            };
        }
        let site = Span::mixed_site();
        match policy.refund_if.as_ref().map(|argument| &argument.value) {
            None => quote_spanned!(site=> #tollgate::AfterCall::nothing()),
            Some(RefundIf::Failure) => quote_spanned! {site=>
                #tollgate::AfterCall::refund_if(::core::result::Result::is_err(&#result))
            },
            Some(RefundIf::Success) => quote_spanned! {site=>
                #tollgate::AfterCall::forgive_if(::core::result::Result::is_ok(&#result))
            },
            Some(RefundIf::Function(path)) => {
                let tollgate = tollgate.at(path.span());
                quote_spanned! {path.span()=>
                    #tollgate::AfterCall::refund_if(#tollgate::holds(&#result, #path))
                }
            }
        }
    }

    /// Returns `true` if a policy counts the calls in flight, so that the call holds a permit until it
    /// ends.
    fn holds(&self) -> bool {
        self.policies.iter().any(|policy| policy.in_flight.is_some())
    }

    /// Returns `true` if a policy has a `refund_if` or `settle`, so that charges may be adjusted
    /// after the call.
    fn adjusts(&self) -> bool {
        self.policies.iter().any(|policy| policy.refund_if.is_some() || policy.settle.is_some())
    }
}

/// Returns the name of the variable that carries the charges from the check to their adjustment.
fn permit() -> Ident {
    Ident::new("permit", Span::mixed_site())
}

impl Function {
    /// If the body ends in `Box::pin(async move { … })`, returns the tokens before its parentheses,
    /// and the block. Otherwise returns `None`.
    pub(crate) fn boxed_future(&self) -> Option<(TokenStream, Group)> {
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
