//! Limits of a handler that depend on its arguments, such as `key = (args(login.email), ip)`. They
//! are checked when all arguments are extracted, in front of the handler's body.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Expr;
use syn::spanned::Spanned as _;

use super::handler::Place;
use super::{Names, handler, limits};
use crate::crate_path::CratePath;
use crate::policy::Policy;

/// The place of a limit's first value among the values of all limits of the function. The limits are
/// in a static, so they cannot contain the values, and find them by these numbers.
#[derive(Clone, Copy, Default)]
pub(super) struct Places {
    pub(super) arg: usize,
    pub(super) cost: usize,
}

impl Places {
    /// Returns the places for the limit behind that of `policy`.
    pub(super) fn after(self, policy: &Policy) -> Self {
        Self {
            arg: self.arg + policy.key.args().count(),
            cost: self.cost + usize::from(policy.cost_of_args().is_some()),
        }
    }
}

/// Returns statements that check the limits and, if one refuses, return the response. They replace
/// the admission in the variable `guard`. Returns nothing if no limit depends on arguments.
/// `shown` declares what the `calls` on each limit need (see `shown.rs`).
pub(super) fn check(
    policies: &[Policy],
    guard: &Ident,
    (shown, calls): (&TokenStream, &TokenStream),
    names: &Names<'_>,
) -> TokenStream {
    let tollgate = names.tollgate;
    let mut places = Places::default();
    let mut limits = Vec::new();
    for (index, policy) in policies.iter().enumerate() {
        if policy.is_late() {
            let limit = handler::limit(policy, index == 0, Place::Late(places), names);
            limits.push(quote!(#limit #calls));
        }
        places = places.after(policy);
    }
    if limits.is_empty() {
        return TokenStream::new();
    }
    let count = limits.len();
    let register = limits::register(count, tollgate);
    let statics = limits::statics();
    let (here, allow) = (limits::here(), limits::allow(policies));
    let args = policies.iter().flat_map(|policy| policy.key.args()).map(reference);
    let costs = policies.iter().filter_map(Policy::cost_of_args);
    let costs = costs.map(|cost| units(cost, tollgate));
    // Macro hygiene hides names with this span from the user's expressions.
    let arguments = Ident::new("__arguments", Span::mixed_site());
    let refused = Ident::new("__refused", Span::mixed_site());
    quote! {
        // The references end here, so that they are not kept while the check waits.
        #allow
        let #arguments = #tollgate::ArgumentValues::new(&[#(#args),*], &[#(#costs),*]);
        let #guard = {
            #shown
            #here
            #allow
            static #statics: [#tollgate::HttpLimit; #count] = [#(#limits),*];
            #register
            match #guard.check_arguments(&#statics, #arguments).await {
                ::core::result::Result::Ok(#guard) => #guard,
                ::core::result::Result::Err(#refused) => return #refused,
            }
        };
    }
}

/// Returns a reference to the value of an expression in `key = args(…)`.
pub(super) fn reference(expression: &Expr) -> TokenStream {
    quote_spanned!(expression.span()=> &(#expression))
}

/// Returns an expression for the units that an expression in `cost = args(…)` stands for.
pub(super) fn units(expression: &Expr, tollgate: &CratePath) -> TokenStream {
    let tollgate = tollgate.at(expression.span());
    quote_spanned!(expression.span()=> #tollgate::units(#expression))
}
