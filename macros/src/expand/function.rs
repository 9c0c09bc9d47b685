//! Function mode: inserts a check before the function's body. The tokens of the body do not change.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::ReturnType;
use syn::spanned::Spanned as _;

use super::{Names, late, limits};
use crate::args::Named;
use crate::errors::Errors;
use crate::future::is_future;
use crate::item::{Function, erase_impl_trait, return_edge};
use crate::keywords::{RefundIf, Settle};
use crate::policy::Policy;

/// Reports mistakes in the signature: a limited function cannot be `const`, and it must have a
/// return type that can contain a refusal.
pub(super) fn check(policies: &[Policy], function: &Function, errors: &mut Errors) {
    if function.sig.constness.is_some() {
        errors.at(function.sig.constness, "a `const fn` cannot be limited: remove `const`");
    }
    let may_be_handler = may_be_handler(policies, function);
    match &function.sig.output {
        ReturnType::Default if may_be_handler => errors.at(
            &function.sig.ident,
            "a handler is an `async fn`: write `async`; a plain function with a limit returns a \
             `Result`, to say when the limit is reached: write `-> Result<(), E>` with an `E` that \
             is `From<tollgate::RateLimited>`",
        ),
        ReturnType::Default => errors.at(
            &function.sig.ident,
            "a function with a limit returns a `Result`, to say when the limit is reached: write \
             `-> Result<(), E>` with an `E` that is `From<tollgate::RateLimited>`",
        ),
        output if is_future(output) && function.future_block().is_none() => errors.at(
            output,
            "a function that returns a future is limited when that future runs: write it as an \
             `async fn`, or let its body end in `async move { … }` or `Box::pin(async move { … })`",
        ),
        output if function.future_block().is_some_and(|block| block.may_return_before()) => errors.at(
            output,
            "only the future with which this function ends is limited, and there is a `return` before \
             it: write it as an `async fn`",
        ),
        ReturnType::Type(..) => {}
    }
}

/// Returns `true` if the function is not `async`, and no limit says that it is no handler.
fn may_be_handler(policies: &[Policy], function: &Function) -> bool {
    !function.is_async()
        && function.future_block().is_none()
        && function.sig.receiver().is_none()
        && policies
            .iter()
            .all(|policy| policy.key.args().next().is_none() && policy.refusal.is_none())
}

/// Returns the function with the check inserted into its body.
pub(super) fn expand(
    policies: &[Policy],
    mut function: Function,
    is_async: bool,
    names: &Names<'_>,
) -> Function {
    let future = function.future_block();
    let output = function.sig.output.clone();
    // If the return type cannot contain the refusal, the compiler reports that at the return type.
    // A type that another macro has written is located at that macro, so the name stands for it.
    let output_span = match &output {
        ReturnType::Type(_, ty) if future.is_none() => ty.span(),
        ReturnType::Type(..) => function.sig.ident.span(),
        ReturnType::Default => Span::call_site(),
    };
    let may_be_handler = may_be_handler(policies, &function);
    let call = Call { policies, output: &output, output_span, may_be_handler, is_async, names };
    let check = call.check();
    let body = match future {
        // The check belongs to the future, so it is inserted into its block.
        Some(future) => {
            let body = call.body(&future.block.stream(), TokenStream::new());
            future.with(&quote!(#check #body))
        }
        None => {
            let edge = return_edge(&output, names.tollgate);
            let body = call.body(&function.body.stream(), edge);
            quote!(#check #body)
        }
    };
    function.body = braces(body, function.body.span());
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
    output_span: Span,
    may_be_handler: bool,
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
        let here = limits::here();
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
        let refused = Ident::new("refused", site);
        let ask = if self.is_async {
            quote_spanned!(site=> #tollgate::admit(limits, calls).await)
        } else {
            quote_spanned!(site=> #tollgate::admit_now(limits, calls))
        };
        let refuse = self.refuse(&refused);
        let allow = limits::allow(policies);
        quote_spanned! {site=>
            let #permit = {
                let limits = {
                    #here
                    #allow
                    static #statics: [#tollgate::CallLimit; #count] = [#(#limits),*];
                    #register
                    &#statics
                };
                #allow
                let calls = ::std::vec![#(#calls),*];
                match #ask {
                    ::core::result::Result::Ok(permit) => permit,
                    #allow
                    ::core::result::Result::Err(#refused) => #refuse,
                }
            };
        }
    }

    /// Returns an expression that returns the refusal `refused` from the function.
    fn refuse(&self, refused: &Ident) -> TokenStream {
        let tollgate = self.names.tollgate;
        let at_output = tollgate.at(self.output_span);
        let refusals = self.policies.iter().map(|policy| match &policy.refusal {
            Some(Named { value: path, .. }) => {
                let tollgate = tollgate.at(path.span());
                quote_spanned! {path.span()=>
                    return #tollgate::refuse_with(#refused.limited, #path)
                }
            }
            None => {
                let refuse = if self.may_be_handler { "refuse_unless_async" } else { "refuse" };
                let refuse = Ident::new(refuse, self.output_span);
                quote_spanned!(self.output_span=> return #at_output::#refuse(#refused.limited))
            }
        });
        let mut refusals: Vec<TokenStream> = refusals.collect();
        // All limits without a `refusal` answer alike.
        if self.policies.iter().all(|policy| policy.refusal.is_none()) {
            refusals.truncate(1);
        }
        let Some(last) = refusals.pop() else { return TokenStream::new() };
        if refusals.is_empty() {
            return last;
        }
        let others =
            refusals.iter().enumerate().map(|(index, refusal)| quote!(#index => #refusal,));
        quote!(match #refused.index { #(#others)* _ => #last })
    }

    fn call_limit(&self, policy: &Policy, is_first: bool) -> TokenStream {
        let tollgate = self.names.tollgate;
        let limit = limits::limit(policy, is_first, None, self.names);
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

    /// Returns the body as an expression. If charges may be adjusted, that follows the body. `edge`
    /// fixes the type of an asynchronous body.
    fn body(&self, body: &TokenStream, edge: TokenStream) -> TokenStream {
        if !self.adjusts() {
            return quote!({ #body });
        }
        let tollgate = self.names.tollgate;
        let (site, permit) = (Span::mixed_site(), permit());
        let result = Ident::new("result", site);
        let allow = limits::allow(self.policies);
        let adjustments = self.policies.iter().map(|policy| self.adjustment(policy, &result));
        if self.is_async {
            quote_spanned! {site=>
                let #result = async move { #edge { #body } }.await;
                #allow
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
                #allow
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
