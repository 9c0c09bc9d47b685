//! A policy with its options for HTTP.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::response::Response;

use super::at_end::AtEnd;
use super::extractor::Shown;
use super::plan::{LookedUp, Plans};
use super::refund_if::RefundIf;
use crate::annotation::Limit;
use crate::callback::{Callback, set_plain};
use crate::decision::Adjustment;
use crate::key::{AddressOptions, Key, Network, OnMissingKey, client_address};
use crate::response::{HeaderCache, HeaderStyle, Refusal};
use crate::{Blocked, Policy};

type Condition = Callback<fn(&Parts) -> bool, dyn Fn(&Parts) -> bool + Send + Sync>;
type RefusalCallback =
    Callback<fn(&Refusal<'_>) -> Response, dyn Fn(&Refusal<'_>) -> Response + Send + Sync>;

/// A limit on requests. It is in a static beside an annotated handler, or shared by the clones of a
/// layer.
#[derive(Clone)]
pub struct HttpLimit {
    /// The settings that limits of handlers, layers and functions have in common.
    pub(super) common: Limit,
    pub(super) key: Key,
    pub(super) cost: Cost,
    pub(super) exempt: Option<Condition>,
    pub(super) exempt_nets: Networks,
    pub(super) at_end: Option<AtEnd>,
    pub(super) headers: Option<HeaderStyle>,
    pub(super) on_missing_key: Option<OnMissingKey>,
    pub(super) refusal: Option<RefusalCallback>,
    /// The longest time for which a request waits in the queue; `None` if it does not wait.
    pub(super) wait: Option<Duration>,
    /// The functions that find other quotas for a request; `None` if there are none.
    pub(super) plans: Option<Plans>,
    /// `true` if the decisions are shown to handlers, through [`RateLimit`](crate::RateLimit).
    pub(super) shows: bool,
    pub(super) header_cache: HeaderCache,
}

/// The networks whose clients a limit does not count.
#[derive(Clone)]
pub(super) enum Networks {
    Static(&'static [Network]),
    Shared(Arc<[Network]>),
}

/// The cost of a request.
#[derive(Clone)]
pub enum Cost {
    /// The same cost for every request.
    Fixed(u32),
    /// A function that computes the cost from the request.
    Function(fn(&Parts) -> u32),
    /// A closure that computes the cost from the request.
    Shared(Arc<dyn Fn(&Parts) -> u32 + Send + Sync>),
}

impl HttpLimit {
    /// Creates the limit of a handler. Each request charges `cost`.
    #[must_use]
    pub const fn new(limit: Limit, key: Key, cost: Cost) -> Self {
        Self::with_cache(limit, key, cost, HeaderCache::in_static())
    }

    /// Creates the limit of a layer with default options: the key is the client's address, and the
    /// cost is 1.
    pub(super) fn of_layer(policy: Policy) -> Self {
        Self::with_cache(Limit::of_layer(policy), Key::ip(), Cost::Fixed(1), HeaderCache::new())
    }

    const fn with_cache(common: Limit, key: Key, cost: Cost, header_cache: HeaderCache) -> Self {
        Self {
            common,
            key,
            cost,
            exempt: None,
            exempt_nets: Networks::Static(&[]),
            at_end: None,
            headers: None,
            on_missing_key: None,
            refusal: None,
            wait: None,
            plans: None,
            shows: false,
            header_cache,
        }
    }

    /// Exempts the requests for which `function` returns `true`.
    #[must_use]
    pub const fn exempt(mut self, function: fn(&Parts) -> bool) -> Self {
        set_plain(&mut self.exempt, function);
        self
    }

    /// Exempts the requests of clients in these networks.
    #[must_use]
    pub const fn exempt_nets(mut self, networks: &'static [Network]) -> Self {
        // The previous value is forgotten, because a `const fn` cannot drop values.
        std::mem::forget(std::mem::replace(&mut self.exempt_nets, Networks::Static(networks)));
        self
    }

    /// Refunds the cost after a request for which the condition holds.
    #[must_use]
    pub const fn refund_if(mut self, condition: RefundIf) -> Self {
        self.set_at_end(AtEnd::Refund(condition));
        self
    }

    /// Settles the cost at what `function` returns for the response.
    #[must_use]
    pub const fn settle(mut self, function: fn(&Response) -> u32) -> Self {
        self.set_at_end(AtEnd::settle(function));
        self
    }

    /// Settles the cost at what the handler has added to its [`Usage`](crate::Usage).
    #[must_use]
    pub const fn settle_usage(mut self) -> Self {
        self.set_at_end(AtEnd::Usage);
        self
    }

    /// Settles the cost like [`settle_usage`](Self::settle_usage) if the handler takes a
    /// [`Usage`](crate::Usage).
    #[must_use]
    pub const fn settle_usage_of(mut self, shown: Shown) -> Self {
        if shown.usage {
            self.set_at_end(AtEnd::Usage);
        }
        self
    }

    pub(super) const fn set_at_end(&mut self, at_end: AtEnd) {
        // The previous value is forgotten and not dropped, because a `const fn` cannot drop values.
        if matches!(at_end, AtEnd::Settle(_) | AtEnd::Usage) {
            self.common.set_settles();
        }
        std::mem::forget(self.at_end.replace(at_end));
        self.common.set_refunds();
    }

    /// Sets the style of the header fields, in place of the limiter's setting.
    #[must_use]
    pub const fn headers(mut self, style: HeaderStyle) -> Self {
        self.headers = Some(style);
        self
    }

    /// Sets the handling of requests that lack the key, in place of the limiter's setting.
    #[must_use]
    pub const fn on_missing_key(mut self, mode: OnMissingKey) -> Self {
        self.on_missing_key = Some(mode);
        self
    }

    /// Responds to refusals with the result of `function`.
    #[must_use]
    pub const fn refusal(mut self, function: fn(&Refusal<'_>) -> Response) -> Self {
        set_plain(&mut self.refusal, function);
        self
    }

    /// Sets the longest time for which a request waits in the queue. By default requests do not wait.
    #[must_use]
    pub const fn wait(mut self, max_wait: Duration) -> Self {
        self.wait = Some(max_wait);
        self
    }

    /// Asks `function` for another quota in the place of the policy's quota number `index`.
    #[must_use]
    pub const fn quota(
        mut self,
        index: usize,
        function: for<'a> fn(&'a Parts) -> LookedUp<'a>,
    ) -> Self {
        match &mut self.plans {
            Some(plans) => plans.set(index, function),
            // `None` is forgotten and not dropped, because a `const fn` cannot drop values.
            none => std::mem::forget(none.replace(Plans::one(index, function))),
        }
        self
    }

    /// Shows the decisions to the handler if it takes a [`RateLimit`](crate::RateLimit).
    #[must_use]
    pub const fn shows(mut self, shown: Shown) -> Self {
        self.shows = shown.decisions;
        self
    }

    /// Returns the settings that limits of handlers and limits of functions have in common.
    pub const fn limit(&self) -> &Limit {
        &self.common
    }

    pub(super) fn policy(&self) -> &Policy {
        self.common.policy()
    }

    /// Returns `true` if a request never has to be awaited before the backend is asked: for a key, for
    /// a quota, or in the queue.
    #[inline]
    pub(super) fn is_immediate(&self) -> bool {
        self.wait.is_none() && self.plans.is_none() && self.key.is_immediate()
    }

    /// Returns `true` if every request has the same cost.
    pub(super) fn has_fixed_cost(&self) -> bool {
        matches!(self.cost, Cost::Fixed(_))
    }

    pub(super) fn cost_of(&self, parts: &Parts) -> u32 {
        match &self.cost {
            Cost::Fixed(cost) => *cost,
            Cost::Function(cost) => cost(parts),
            Cost::Shared(cost) => cost(parts),
        }
    }

    #[inline]
    pub(super) fn is_exempt(&self, parts: &Parts, options: &AddressOptions) -> bool {
        // Most limits exempt nobody.
        let exempts = self.exempt.is_some() || !matches!(self.exempt_nets, Networks::Static([]));
        exempts && self.exempts(parts, options)
    }

    fn exempts(&self, parts: &Parts, options: &AddressOptions) -> bool {
        let networks = match &self.exempt_nets {
            Networks::Static(networks) => networks,
            Networks::Shared(networks) => &**networks,
        };
        let is_in = |client| options.is_in(client, networks);
        self.exempt.as_ref().is_some_and(|exempt| exempt.call(parts))
            || !networks.is_empty() && client_address(parts, options).is_some_and(is_in)
    }

    /// Returns `true` if the decision is needed after the check, to show it or to adjust its charge.
    pub(super) fn keeps_decision(&self) -> bool {
        self.shows || self.at_end.is_some()
    }

    /// Returns the adjustment of the charge that is due after the head of this response, if any.
    pub(super) fn adjustment_after(&self, response: &Response) -> Option<Adjustment> {
        self.at_end.as_ref()?.adjustment_after(response)
    }

    /// Returns `true` if the cost is forgiven when the trailers of this response say that the request
    /// has succeeded.
    pub(super) fn forgives_by_trailers(&self, response: &Response) -> bool {
        self.at_end.as_ref().is_some_and(|it| it.forgives_by_trailers(response))
    }

    /// Returns `true` if the cost is refunded when there is no response, or when the response
    /// breaks.
    pub(super) fn refunds_without_response(&self) -> bool {
        self.at_end.as_ref().is_some_and(AtEnd::refunds_without_response)
    }

    /// Returns `true` if the cost is settled at the handler's [`Usage`](crate::Usage).
    pub(super) const fn settles_usage(&self) -> bool {
        matches!(self.at_end, Some(AtEnd::Usage))
    }

    pub(super) fn notify_blocked(&self, blocked: &Blocked<'_>) {
        self.common.notify(blocked);
    }

    /// Returns the limit's own function for responses to refusals; `None` if it has none.
    pub(super) fn refusal_function(&self) -> Option<&dyn Fn(&Refusal<'_>) -> Response> {
        self.refusal.as_ref().map(|refusal| match refusal {
            Callback::Plain(function) => function as _,
            Callback::Shared(function) => &**function as _,
        })
    }
}

impl fmt::Debug for HttpLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("policy", self.policy())
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(cost) => f.debug_tuple("Fixed").field(cost).finish(),
            Self::Function(_) | Self::Shared(_) => f.write_str("Function"),
        }
    }
}

/// A type that the attribute declares beside a handler. The handler's extractor obtains the limits
/// from it.
pub trait Annotated {
    /// `true` if the handler has limits that depend on its arguments. Then the request's head is kept
    /// for them.
    const KEEPS_HEAD: bool = false;

    /// Returns the limits, in the order in which they are checked.
    fn limits() -> &'static [HttpLimit];
}
