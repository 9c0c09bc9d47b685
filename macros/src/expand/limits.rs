//! The policies as constants, with what is asserted of them, and their registration.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Expr;
use syn::spanned::Spanned as _;

use crate::args::{Cost, Given};
use crate::policy::{Policy, Quota};
use crate::private::Private;

/// Names that a user's expression will not mean: items have no hygiene.
const LIMITS: &str = "__TOLLGATE_LIMITS";

pub(super) fn statics() -> Ident {
    Ident::new(LIMITS, Span::call_site())
}

/// The policy's `Limit`: a const expression, with what is wrong with it reported where it is
/// written. `function` is what clients know the function by, `owner` the type it belongs to,
/// and `is_first` whether it is the policy that bears its name alone.
pub(super) fn limit(
    policy: &Policy,
    function: &str,
    owner: Option<&str>,
    is_first: bool,
    private: &Private,
) -> TokenStream {
    let quotas = policy.quotas.iter().map(|quota| self::quota(quota, private));
    let quotas = quote!(&[#(#quotas),*]);
    // A constant only where something is asserted of it: each is compiled on its own.
    let (constant, quotas) = match &policy.cost {
        Some(Given { value: Cost::Const(cost), .. }) => {
            let assert_cost = assert_cost(cost, private);
            let constant = quote! {
                const __TOLLGATE_QUOTAS: &[#private::Quota] = #quotas;
                #assert_cost
            };
            (Some(constant), quote!(__TOLLGATE_QUOTAS))
        }
        _ => (None, quotas),
    };
    let given = policy.given_name();
    let named = given.is_some();
    let name = match given {
        Some(Given { value, .. }) => quote!(#value, #value),
        None => path(policy, function, owner, is_first),
    };
    let algorithm = policy.algorithm.as_ref().map(|given| {
        let algorithm = given.value.tokens(private);
        quote!(.algorithm(#algorithm))
    });
    let on_error = policy.on_error.as_ref().map(|given| {
        let mode = given.value.tokens(private);
        quote!(.on_error(#mode))
    });
    let shadow = policy.shadow.as_ref().map(|_| quote!(.shadow()));
    let on_blocked = policy.on_blocked.as_ref().map(|given| {
        let path = &given.value;
        quote!(.on_blocked(#path))
    });
    let limit = quote! {
        #private::Limit::new(#name, #named, #quotas, ::core::file!(), ::core::line!())
            #algorithm #on_error #shadow #on_blocked
    };
    match constant {
        Some(constant) => quote!({ #constant #limit }),
        None => limit,
    }
}

/// Identity and label by the function's path. A further policy of the same function, which has
/// another key, is told apart by that.
fn path(policy: &Policy, function: &str, owner: Option<&str>, is_first: bool) -> TokenStream {
    let label =
        if is_first { function.to_owned() } else { format!("{function}+{}", policy.key.text()) };
    let owned = match owner {
        Some(owner) => format!("::{owner}::{label}"),
        None => format!("::{label}"),
    };
    quote!(::core::concat!(::core::module_path!(), #owned), #label)
}

fn quota(quota: &Quota, private: &Private) -> TokenStream {
    let Quota { limit, period, burst } = quota;
    if let (Some((_, micros)), None) = (quota.literal(), burst) {
        return quote!(#private::literal_quota(#limit, #micros));
    }
    let (limit_span, period_span) = (limit.span(), period.span());
    let period = period.tokens(private);
    let arguments = quote!(__TOLLGATE_LIMIT, __TOLLGATE_PERIOD);
    let assert_limit = assert("limit_error", &arguments, limit_span, private);
    let assert_period = assert("period_error", &arguments, period_span, private);
    let quota = quote!(#private::quota(__TOLLGATE_LIMIT, __TOLLGATE_PERIOD));
    let value = match burst {
        None => quota,
        Some(Given { value: burst, .. }) => {
            let arguments = quote!(#quota, __TOLLGATE_BURST);
            let assert_burst = assert("burst_error", &arguments, burst.span(), private);
            quote! {{
                const __TOLLGATE_BURST: ::core::primitive::u32 = #burst;
                #assert_burst
                #private::burst(#quota, __TOLLGATE_BURST)
            }}
        }
    };
    quote! {{
        const __TOLLGATE_LIMIT: ::core::primitive::u32 = #limit;
        const __TOLLGATE_PERIOD: ::core::time::Duration = #period;
        #assert_limit
        #assert_period
        #value
    }}
}

fn assert_cost(cost: &Expr, private: &Private) -> TokenStream {
    let arguments = quote!({
        const __TOLLGATE_COST: ::core::primitive::u32 = #cost;
        __TOLLGATE_COST
    }, __TOLLGATE_QUOTAS);
    assert("cost_error", &arguments, cost.span(), private)
}

/// A constant that does not compile, and is reported at `span`, if `check` finds a mistake.
fn assert(check: &str, arguments: &TokenStream, span: Span, private: &Private) -> TokenStream {
    let check = Ident::new(check, span);
    let private = private.at(span);
    quote_spanned! {span=>
        const _: () = if let ::core::option::Option::Some(mistake) = #private::#check(#arguments) {
            ::core::panic!("{}", mistake)
        };
    }
}

/// Puts the policies into the registry. No code runs for that: the linker collects them.
pub(super) fn register(count: usize, private: &Private) -> TokenStream {
    let limits = statics();
    let registrations = (0..count).map(|index| {
        let name = format_ident!("__TOLLGATE_REGISTERED_{index}");
        quote! {
            #[#private::linkme::distributed_slice(#private::POLICIES)]
            #[linkme(crate = #private::linkme)]
            static #name: &#private::RegisteredPolicy = #limits[#index].limit().registered();
        }
    });
    quote!(#(#registrations)*)
}

/// The cost that goes with a policy if it is a constant: 1 if none is given.
pub(super) fn constant_cost(policy: &Policy) -> TokenStream {
    match &policy.cost {
        Some(Given { value: Cost::Const(cost), .. }) => quote!(#cost),
        _ => quote!(1),
    }
}
