//! A policy in front of a whole router, or of any tower service.

use std::fmt;
use std::sync::Arc;

use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use tower_layer::Layer;

use super::admission::with_limiter;
use super::check::HttpLimit;
use super::service::RateLimitService;
use super::skip::Skip;
use crate::key::{Key, OnMissingKey};
use crate::response::{HeaderCache, HeaderStyle, Refusal, RefusalFunction};
use crate::{Blocked, Limiter, Policy};

/// Puts a policy in front of a whole router, or of any other tower service of HTTP requests.
///
/// ```
/// use std::time::Duration;
/// use axum::http::Method;
/// use axum::{Router, routing::get};
/// use tollgate::{Key, Policy, Quota, RateLimitLayer};
///
/// const API: Policy = Policy::new("api", Quota::new(1_000, Duration::from_secs(60)));
///
/// let app: Router = Router::new().route("/orders", get("…")).layer(
///     RateLimitLayer::new(API)
///         .key(Key::header("x-api-key"))
///         .skip_method(Method::OPTIONS)
///         .skip_path("/health"),
/// );
/// ```
///
/// It asks the limiter that it is given; else the request's ([`Limiter::layer`]), else the
/// scoped or the global one. Its responses have axum's body: what the service answers is put
/// into that.
///
/// All clones, and all services that it makes, share one budget. Two layers do so if their
/// policies have one name.
#[derive(Clone)]
pub struct RateLimitLayer {
    limit: Arc<LayerLimit>,
}

/// What a layer and its services share.
pub(super) struct LayerLimit {
    policy: Policy,
    key: Key,
    cost: Option<PartsFunction<u32>>,
    fixed_cost: u32,
    skip: Skip,
    exempt: Option<PartsFunction<bool>>,
    on_blocked: Option<BlockedFunction>,
    headers: Option<HeaderStyle>,
    on_missing_key: Option<OnMissingKey>,
    refusal: Option<RefusalFunction>,
    fields: HeaderCache,
    pub(super) refund_if: Option<ResponseFunction>,
    limiter: Option<Limiter>,
    /// Whether handlers are shown its decisions.
    pub(super) shows: bool,
    /// Whether the key takes waiting.
    pub(super) waits: bool,
}

type PartsFunction<R> = Arc<dyn Fn(&Parts) -> R + Send + Sync>;
type BlockedFunction = Arc<dyn Fn(&Blocked<'_>) + Send + Sync>;
type ResponseFunction = Arc<dyn Fn(&Response) -> bool + Send + Sync>;

impl RateLimitLayer {
    /// Limits requests by `policy`, for each client address until a [`key`](Self::key) is given.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let limit = LayerLimit {
            policy,
            key: Key::ip(),
            cost: None,
            fixed_cost: 1,
            skip: Skip::default(),
            exempt: None,
            on_blocked: None,
            headers: None,
            on_missing_key: None,
            refusal: None,
            fields: HeaderCache::new(),
            refund_if: None,
            limiter: None,
            shows: false,
            waits: false,
        };
        Self { limit: Arc::new(limit) }
    }

    /// Whose requests are counted.
    #[must_use]
    pub fn key(self, key: Key) -> Self {
        self.with(|limit| {
            limit.waits = key.is_async();
            limit.key = key;
        })
    }

    /// What each request takes: 1 if not given.
    #[must_use]
    pub fn cost(self, cost: u32) -> Self {
        self.with(|limit| {
            limit.fixed_cost = cost;
            limit.cost = None;
        })
    }

    /// What a request takes, as `function` makes of it.
    #[must_use]
    pub fn cost_of(self, function: impl Fn(&Parts) -> u32 + Send + Sync + 'static) -> Self {
        self.with(|limit| limit.cost = Some(Arc::new(function)))
    }

    /// Does not count requests to this path; if it ends in `/*`, to any path below it. It is
    /// compared with the path as the service sees it: inside [`Router::nest`], what is left of
    /// it.
    ///
    /// [`Router::nest`]: axum::Router::nest
    #[must_use]
    pub fn skip_path(self, path: impl Into<String>) -> Self {
        self.with(|limit| limit.skip.path(path.into()))
    }

    /// Does not count requests by this method.
    #[must_use]
    pub fn skip_method(self, method: Method) -> Self {
        self.with(|limit| limit.skip.method(method))
    }

    /// Does not count requests of which `function` says so.
    #[must_use]
    pub fn exempt(self, function: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.with(|limit| limit.exempt = Some(Arc::new(function)))
    }

    /// Decides and reports, but never refuses.
    #[must_use]
    pub fn shadow(self) -> Self {
        self.with(|limit| limit.policy.set_shadow(true))
    }

    /// Calls `function` on every refusal.
    #[must_use]
    pub fn on_blocked(self, function: impl Fn(&Blocked<'_>) + Send + Sync + 'static) -> Self {
        self.with(|limit| limit.on_blocked = Some(Arc::new(function)))
    }

    /// Gives the cost back after a response of which `function` says so.
    #[must_use]
    pub fn refund_if(self, function: impl Fn(&Response) -> bool + Send + Sync + 'static) -> Self {
        self.with(|limit| {
            limit.refund_if = Some(Arc::new(function));
            limit.policy.set_refunds();
        })
    }

    /// Tells clients of it in this style, whatever the limiter's.
    #[must_use]
    pub fn headers(self, style: HeaderStyle) -> Self {
        self.with(|limit| limit.headers = Some(style))
    }

    /// Does this with requests that lack the key, whatever the limiter does.
    #[must_use]
    pub fn on_missing_key(self, mode: OnMissingKey) -> Self {
        self.with(|limit| limit.on_missing_key = Some(mode))
    }

    /// Answers refusals with what `function` makes of them: see
    /// [`HttpOptions::refusal`](crate::HttpOptions::refusal).
    #[must_use]
    pub fn refusal<R: IntoResponse>(
        self,
        function: impl Fn(&Refusal<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        let function = move |refusal: &Refusal<'_>| function(refusal).into_response();
        self.with(|limit| limit.refusal = Some(Arc::new(function)))
    }

    /// Shows its decisions to the handlers behind it, as the extractor
    /// [`RateLimit`](crate::RateLimit).
    #[must_use]
    pub fn show(self) -> Self {
        self.with(|limit| limit.shows = true)
    }

    /// Asks this limiter, whatever the request's.
    #[must_use]
    pub fn limiter(self, limiter: &Limiter) -> Self {
        self.with(|limit| limit.limiter = Some(limiter.clone()))
    }

    fn with(self, change: impl FnOnce(&mut LayerLimit)) -> Self {
        // While it is being put together reject_missing_key shares it; a clone that is changed is another.
        let mut limit = Arc::try_unwrap(self.limit).unwrap_or_else(|shared| shared.copy());
        change(&mut limit);
        Self { limit: Arc::new(limit) }
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimitService<S>;

    fn layer(&self, inner: S) -> RateLimitService<S> {
        RateLimitService::new(inner, Arc::clone(&self.limit))
    }
}

impl LayerLimit {
    /// Asks its own limiter, if it was given one; else the request's.
    pub(super) fn with_limiter<T>(&self, parts: &Parts, ask: impl FnOnce(&Limiter) -> T) -> T {
        match &self.limiter {
            Some(limiter) => ask(limiter),
            None => with_limiter(parts, ask),
        }
    }

    pub(super) fn keeps_decisions(&self) -> bool {
        self.shows || self.refund_if.is_some()
    }

    fn copy(&self) -> Self {
        Self {
            policy: self.policy.clone(),
            key: self.key.clone(),
            cost: self.cost.clone(),
            fixed_cost: self.fixed_cost,
            skip: self.skip.clone(),
            exempt: self.exempt.clone(),
            on_blocked: self.on_blocked.clone(),
            headers: self.headers,
            on_missing_key: self.on_missing_key,
            refusal: self.refusal.clone(),
            fields: HeaderCache::new(),
            refund_if: self.refund_if.clone(),
            limiter: self.limiter.clone(),
            shows: self.shows,
            waits: self.waits,
        }
    }
}

impl HttpLimit for LayerLimit {
    fn policy(&self) -> &Policy {
        &self.policy
    }

    fn key(&self) -> &Key {
        &self.key
    }

    fn cost(&self, parts: &Parts) -> u32 {
        self.cost.as_ref().map_or(self.fixed_cost, |cost| cost(parts))
    }

    fn exempts(&self, parts: &Parts) -> bool {
        self.skip.contains(parts) || self.exempt.as_ref().is_some_and(|exempt| exempt(parts))
    }

    fn on_blocked(&self, blocked: &Blocked<'_>) {
        if let Some(function) = &self.on_blocked {
            function(blocked);
        }
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
        self.refusal.as_deref().map(|function| function as _)
    }
}

impl fmt::Debug for RateLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limit.fmt(f)
    }
}

impl fmt::Debug for LayerLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("policy", &self.policy)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
