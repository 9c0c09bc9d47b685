//! Generates the policies as constants, assertions about their values, and their registration.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Expr;
use syn::spanned::Spanned as _;

use super::Names;
use crate::args::{Cost, Named};
use crate::calendar::{Calendar, Per};
use crate::crate_path::CratePath;
use crate::policy::{Policy, Quota};

/// The name of the static that contains a function's limits. Macro hygiene does not apply to items,
/// so this is a name that no user's expression refers to by accident.
const LIMITS: &str = "__TOLLGATE_LIMITS";

pub(super) fn statics() -> Ident {
    Ident::new(LIMITS, Span::call_site())
}

/// Returns the declaration of a type whose path contains the path of the function around it. In
/// handler mode, the type that provides the limits serves for that.
pub(super) fn here() -> TokenStream {
    let name = here_name();
    quote!(struct #name;)
}

pub(super) fn here_name() -> Ident {
    Ident::new("__TollgateHere", Span::call_site())
}

/// Returns an attribute for code that contains paths of the user's. The attribute demands `self::`
/// before a function of one's own, which the lint may call unnecessary.
pub(super) fn allow(policies: &[Policy]) -> Option<TokenStream> {
    let has_paths = policies.iter().any(|policy| policy.has_paths);
    has_paths.then(|| quote!(#[allow(unused_qualifications)]))
}

/// Returns a const expression of the library's type `Limit` for the policy. The compiler reports
/// invalid values at their place in the attribute. `is_first` is `true` for the first policy of the
/// function, which is named after the function alone; see [`path`]. `provider` is the type that
/// provides the limits, if there is one.
pub(super) fn limit(
    policy: &Policy,
    is_first: bool,
    provider: Option<&TokenStream>,
    names: &Names<'_>,
) -> TokenStream {
    let tollgate = names.tollgate;
    let quotas = policy.quotas.iter().map(|quota| self::quota(quota, tollgate));
    let quotas = quote!(&[#(#quotas),*]);
    // The quotas become a constant only if an assertion needs them, because each constant takes
    // time to compile.
    let (constant, quotas) = match &policy.cost {
        Some(Named { value: Cost::Const(cost), .. }) => {
            let assert_cost = assert_cost(cost, tollgate);
            let constant = quote! {
                const __TOLLGATE_QUOTAS: &[#tollgate::Quota] = #quotas;
                #assert_cost
            };
            (Some(constant), quote!(__TOLLGATE_QUOTAS))
        }
        _ => (None, quotas),
    };
    let explicit_name = policy.explicit_name();
    let naming = match (&policy.group, explicit_name) {
        (Some(_), _) => quote!(Group),
        (None, Some(_)) => quote!(Name),
        (None, None) => quote!(Path),
    };
    let site = names.origin.tokens(provider, names);
    let name = match explicit_name {
        Some(Named { value, .. }) => quote!(#value, #value),
        None => path(policy, is_first, names),
    };
    let algorithm = policy.algorithm.as_ref().map(|argument| {
        let algorithm = argument.value.tokens(tollgate);
        quote!(.algorithm(#algorithm))
    });
    let on_error = policy.on_error.as_ref().map(|argument| {
        let mode = argument.value.tokens(tollgate);
        quote!(.on_error(#mode))
    });
    let shadow = policy.shadow.as_ref().map(|_| quote!(.shadow()));
    let assert_ban =
        |check: &str, arguments: &TokenStream, span| assert(check, arguments, span, tollgate);
    let ban = policy.ban.as_ref().map(|argument| argument.value.tokens(tollgate, assert_ban));
    let (ban_constants, ban) = ban.unzip();
    let ban = ban.map(|numbers| quote!(.ban(#numbers)));
    let ban_constants = ban_constants.unwrap_or_default();
    let (in_flight_constants, in_flight) = in_flight(policy, tollgate);
    let on_blocked = policy.on_blocked.as_ref().map(|argument| {
        let path = &argument.value;
        quote!(.on_blocked(#path))
    });
    let limit = quote! {
        #tollgate::Limit::new(#name, #tollgate::Naming::#naming, #quotas, #site)
            #algorithm #on_error #ban #in_flight #shadow #on_blocked
    };
    match constant {
        None if ban_constants.is_empty() && in_flight_constants.is_empty() => limit,
        constant => quote!({ #constant #ban_constants #in_flight_constants #limit }),
    }
}

/// Returns assertions about the limit on requests in flight, and the call that sets it.
fn in_flight(policy: &Policy, tollgate: &CratePath) -> (TokenStream, TokenStream) {
    let Some(Named { value: limit, .. }) = &policy.in_flight else { return Default::default() };
    let assert_limit =
        assert("in_flight_error", &quote!(__TOLLGATE_IN_FLIGHT), limit.span(), tollgate);
    let mut constants = quote! {
        const __TOLLGATE_IN_FLIGHT: ::core::primitive::u32 = #limit;
        #assert_limit
    };
    let mut hold = quote!(::core::option::Option::None);
    if let Some(Named { value, .. }) = &policy.hold {
        let (duration, span) = (value.tokens(tollgate), value.span());
        let assert_hold = assert("hold_error", &quote!(__TOLLGATE_HOLD), span, tollgate);
        constants.extend(quote! {
            const __TOLLGATE_HOLD: ::core::time::Duration = #duration;
            #assert_hold
        });
        hold = quote!(::core::option::Option::Some(__TOLLGATE_HOLD));
    }
    (constants, quote!(.in_flight(__TOLLGATE_IN_FLIGHT, #hold)))
}

/// Returns the policy's name and its label, separated by a comma. Both are made from the function's
/// name; the policy's name also contains the module path. Further policies of the same function
/// have different keys, which are appended to distinguish them.
fn path(policy: &Policy, is_first: bool, names: &Names<'_>) -> TokenStream {
    let Names { function, owner, .. } = names;
    let label =
        if is_first { function.to_owned() } else { format!("{function}+{}", policy.key.text()) };
    let owned = match owner {
        Some(owner) => format!("::{owner}::{label}"),
        None => format!("::{label}"),
    };
    quote!(::core::concat!(::core::module_path!(), #owned), #label)
}

fn quota(quota: &Quota, tollgate: &CratePath) -> TokenStream {
    let Quota { limit, period, burst, .. } = quota;
    if let (Some((_, micros)), None) = (quota.literal(), burst) {
        return quote!(#tollgate::literal_quota(#limit, #micros));
    }
    let limit_span = limit.span();
    let period = match period {
        Per::Length(period) => period,
        Per::Calendar(calendar) => return calendar_quota(limit, calendar, tollgate),
    };
    let period_span = period.span();
    let period = period.tokens(tollgate);
    let arguments = quote!(__TOLLGATE_LIMIT, __TOLLGATE_PERIOD);
    let assert_limit = assert("limit_error", &arguments, limit_span, tollgate);
    let assert_period = assert("period_error", &arguments, period_span, tollgate);
    let quota = quote!(#tollgate::quota(__TOLLGATE_LIMIT, __TOLLGATE_PERIOD));
    let value = match burst {
        None => quota,
        Some(Named { value: burst, .. }) => {
            let arguments = quote!(#quota, __TOLLGATE_BURST);
            let assert_burst = assert("burst_error", &arguments, burst.span(), tollgate);
            quote! {{
                const __TOLLGATE_BURST: ::core::primitive::u32 = #burst;
                #assert_burst
                #tollgate::burst(#quota, __TOLLGATE_BURST)
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

/// Returns a quota of a calendar. It has no burst, or that was reported.
fn calendar_quota(limit: &Expr, calendar: &Calendar, tollgate: &CratePath) -> TokenStream {
    let (unit, zone, zone_span) = calendar.tokens(tollgate);
    let arguments = quote!(__TOLLGATE_LIMIT);
    let assert_limit = assert("calendar_limit_error", &arguments, limit.span(), tollgate);
    let assert_zone = assert("zone_error", &quote!(__TOLLGATE_ZONE), zone_span, tollgate);
    quote! {{
        const __TOLLGATE_LIMIT: ::core::primitive::u32 = #limit;
        const __TOLLGATE_ZONE: &::core::primitive::str = #zone;
        #assert_limit
        #assert_zone
        #tollgate::calendar_quota(__TOLLGATE_LIMIT, #unit, __TOLLGATE_ZONE)
    }}
}

fn assert_cost(cost: &Expr, tollgate: &CratePath) -> TokenStream {
    let arguments = quote!({
        const __TOLLGATE_COST: ::core::primitive::u32 = #cost;
        __TOLLGATE_COST
    }, __TOLLGATE_QUOTAS);
    assert("cost_error", &arguments, cost.span(), tollgate)
}

/// Returns a constant that calls the library's function `check` during compilation. If that
/// function returns a mistake, the compilation fails with an error at `span`.
fn assert(check: &str, arguments: &TokenStream, span: Span, tollgate: &CratePath) -> TokenStream {
    let check = Ident::new(check, span);
    let tollgate = tollgate.at(span);
    quote_spanned! {span=>
        const _: () = if let ::core::option::Option::Some(mistake) = #tollgate::#check(#arguments) {
            ::core::panic!("{}", mistake)
        };
    }
}

/// Returns statics that register the policies in the list of all policies of the program. No code
/// runs for this: the linker collects the statics.
pub(super) fn register(count: usize, tollgate: &CratePath) -> TokenStream {
    let limits = statics();
    let registrations = (0..count).map(|index| {
        let name = format_ident!("__TOLLGATE_REGISTERED_{index}");
        quote! {
            #[#tollgate::linkme::distributed_slice(#tollgate::POLICIES)]
            #[linkme(crate = #tollgate::linkme)]
            static #name: &#tollgate::RegisteredPolicy = #limits[#index].limit().registered();
        }
    });
    quote!(#(#registrations)*)
}

/// Returns the policy's cost if it is constant, and otherwise 1.
pub(super) fn constant_cost(policy: &Policy) -> TokenStream {
    match &policy.cost {
        Some(Named { value: Cost::Const(cost), .. }) => quote!(#cost),
        _ => quote!(1),
    }
}
