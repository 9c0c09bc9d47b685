//! What the attribute puts beside a handler.

use axum::http::request::Parts;
use axum::response::Response;

use super::check::HttpLimit;
use crate::annotation::Limit;
use crate::key::{Key, OnMissingKey};
use crate::response::{HeaderCache, HeaderStyle, Refusal};
use crate::{Blocked, Policy};

/// One policy of an annotated handler, in a static beside it.
#[derive(Debug)]
pub struct HandlerLimit {
    limit: Limit,
    pub(super) key: Key,
    cost: Cost,
    exempt: Option<fn(&Parts) -> bool>,
    pub(super) refund_if: Option<fn(&Response) -> bool>,
    headers: Option<HeaderStyle>,
    on_missing_key: Option<OnMissingKey>,
    refusal: Option<fn(&Refusal<'_>) -> Response>,
    /// Whether the handler looks at its decisions.
    pub(super) shows: bool,
    fields: HeaderCache,
}

/// What a request takes.
#[derive(Clone, Copy, Debug)]
pub enum Cost {
    /// Always this much.
    Fixed(u32),
    /// What this function makes of the request.
    Function(fn(&Parts) -> u32),
}

impl HandlerLimit {
    /// A limit of which each request takes `cost`.
    #[must_use]
    pub const fn new(limit: Limit, key: Key, cost: Cost) -> Self {
        Self {
            limit,
            key,
            cost,
            exempt: None,
            refund_if: None,
            headers: None,
            on_missing_key: None,
            refusal: None,
            shows: false,
            fields: HeaderCache::in_static(),
        }
    }

    /// Does not count requests of which `function` says so.
    #[must_use]
    pub const fn exempt(mut self, function: fn(&Parts) -> bool) -> Self {
        self.exempt = Some(function);
        self
    }

    /// Gives the cost back after a response of which `function` says so.
    #[must_use]
    pub const fn refund_if(mut self, function: fn(&Response) -> bool) -> Self {
        self.refund_if = Some(function);
        self.limit.set_refunds();
        self
    }

    /// Tells clients of it in this style, whatever the limiter's.
    #[must_use]
    pub const fn headers(mut self, style: HeaderStyle) -> Self {
        self.headers = Some(style);
        self
    }

    /// Does this with requests that lack the key, whatever the limiter does.
    #[must_use]
    pub const fn on_missing_key(mut self, mode: OnMissingKey) -> Self {
        self.on_missing_key = Some(mode);
        self
    }

    /// Answers refusals with what `function` makes of them.
    #[must_use]
    pub const fn refusal(mut self, function: fn(&Refusal<'_>) -> Response) -> Self {
        self.refusal = Some(function);
        self
    }

    /// Puts decisions where the handler's [`RateLimit`] finds them.
    #[must_use]
    pub const fn shows(mut self) -> Self {
        self.shows = true;
        self
    }

    /// What it has in common with a function's limit.
    pub const fn limit(&self) -> &Limit {
        &self.limit
    }
}

impl HttpLimit for HandlerLimit {
    fn policy(&self) -> &Policy {
        self.limit.policy()
    }

    fn key(&self) -> &Key {
        &self.key
    }

    fn cost(&self, parts: &Parts) -> u32 {
        match self.cost {
            Cost::Fixed(cost) => cost,
            Cost::Function(cost) => cost(parts),
        }
    }

    fn exempts(&self, parts: &Parts) -> bool {
        self.exempt.is_some_and(|exempt| exempt(parts))
    }

    fn on_blocked(&self, blocked: &Blocked<'_>) {
        self.limit.notify(blocked);
    }

    fn headers(&self) -> Option<HeaderStyle> {
        self.headers
    }

    fn on_missing_key(&self) -> Option<OnMissingKey> {
        self.on_missing_key
    }

    fn header_cache(&self) -> &HeaderCache {
        &self.fields
    }

    fn refusal(&self) -> Option<&dyn Fn(&Refusal<'_>) -> Response> {
        self.refusal.as_ref().map(|function| function as _)
    }
}

/// The type that the attribute puts beside a handler, by which its guard knows its limits.
pub trait Annotated {
    /// The limits, in the order in which they are checked.
    fn limits() -> &'static [HandlerLimit];
}
