//! A limit in front of a whole router, or of any tower service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use tower_layer::Layer;

use super::at_end::AtEnd;
use super::counted::set_has_layers;
use super::layer_limit::{LayerLimit, LayerOptions};
use super::layer_placement::Placement;
use super::limit::{Cost, HttpLimit, Networks};
use super::plan::{Plans, QuotaFunction};
use super::refund_if::RefundIf;
use super::service::RateLimitService;
use crate::callback::Callback;
use crate::key::{Key, OnMissingKey};
use crate::response::{HeaderStyle, HttpOptionsError, Refusal, networks};
use crate::{Blocked, Limiter, Policy};

/// Limits all requests to a router, or to any other tower service of HTTP requests, by a policy.
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
/// Add the layer after the routes: a router's layers apply to the routes that it has, and not to those
/// that are added later. A layer that is added to a router without routes limits only requests that
/// match no route. A warning is logged then.
///
/// Requests of gRPC are refused by gRPC: as `RESOURCE_EXHAUSTED` and others, with a
/// `google.rpc.RetryInfo` ([`GrpcStatus`](crate::http::GrpcStatus)).
///
/// The layer uses the limiter that [`limiter`](Self::limiter) has set. Without that, it uses the
/// request's limiter ([`Limiter::layer`]), or else the scoped or the global one. The responses have
/// axum's body type, which wraps the body of the inner service.
///
/// All clones of a layer, and all services that it creates, share one budget. Two layers share a
/// budget if their policies have the same name.
#[derive(Clone)]
pub struct RateLimitLayer {
    limit: LayerLimit,
    placement: Placement,
}

impl RateLimitLayer {
    /// Creates a layer that limits requests by `policy`. Requests are counted for each client
    /// address, unless another [`key`](Self::key) is set.
    #[must_use]
    #[track_caller]
    pub fn new(policy: Policy) -> Self {
        set_has_layers();
        Self { limit: LayerLimit::new(policy), placement: Placement::new() }
    }

    /// Sets the key by which requests are counted.
    #[must_use]
    pub fn key(self, key: Key) -> Self {
        self.with_options(|options| {
            options.has_async_key = key.is_async();
            options.limit.key = key;
        })
    }

    /// Sets the cost of each request. The default is 1.
    #[must_use]
    pub fn cost(self, cost: u32) -> Self {
        self.with(|limit| limit.cost = Cost::Fixed(cost))
    }

    /// Computes the cost of each request by `function`.
    #[must_use]
    pub fn cost_of(self, function: impl Fn(&Parts) -> u32 + Send + Sync + 'static) -> Self {
        self.with(|limit| limit.cost = Cost::Shared(Arc::new(function)))
    }

    /// Exempts requests to this path or, if it ends in `/*`, to any path below it. The path is
    /// compared as the service sees it: inside [`Router::nest`], without the prefix.
    ///
    /// [`Router::nest`]: axum::Router::nest
    #[must_use]
    pub fn skip_path(self, path: impl Into<String>) -> Self {
        self.with_options(|options| options.skip.path(path.into()))
    }

    /// Exempts requests with this method.
    #[must_use]
    pub fn skip_method(self, method: Method) -> Self {
        self.with_options(|options| options.skip.method(method))
    }

    /// Exempts requests for which `function` returns `true`.
    #[must_use]
    pub fn exempt(self, function: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.with(|limit| limit.exempt = Some(Callback::Shared(Arc::new(function))))
    }

    /// Exempts the requests of clients in these networks, in addition to those that
    /// [`exempt`](Self::exempt) exempts. An entry is a network such as `10.0.0.0/8`, or a single
    /// address. The client's address is found as for the key `ip`, so behind a proxy it is not the
    /// proxy's, if the limiter has the [`trusted_proxies`](crate::HttpOptions::trusted_proxies).
    ///
    /// # Errors
    ///
    /// If an entry is neither a network nor an address.
    pub fn exempt_nets<I>(self, nets: I) -> Result<Self, HttpOptionsError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let nets = Networks::Shared(networks(nets)?.into());
        Ok(self.with(|limit| limit.exempt_nets = nets))
    }

    /// Switches to shadow mode: the layer decides and reports, but never refuses.
    #[must_use]
    pub fn shadow(self) -> Self {
        self.with(|limit| limit.common.policy_mut().set_shadow(true))
    }

    /// Calls `function` on every refusal.
    #[must_use]
    pub fn on_blocked(self, function: impl Fn(&Blocked<'_>) + Send + Sync + 'static) -> Self {
        self.with(|limit| limit.common.set_on_blocked(Arc::new(function)))
    }

    /// Refunds the cost after a response for which `function` returns `true`. Without a response
    /// (see [`refund_if_failure`](Self::refund_if_failure)) the function is not called, and the
    /// charge stays.
    #[must_use]
    pub fn refund_if(self, function: impl Fn(&Response) -> bool + Send + Sync + 'static) -> Self {
        self.with_end(AtEnd::Refund(RefundIf::closure(function)))
    }

    /// Refunds the cost if the request fails: if the response's status is 4xx or 5xx, or one of gRPC
    /// that is not `OK`, if its body breaks, or if there is no response, because of a panic, a timeout,
    /// or a client that has gone.
    #[must_use]
    pub fn refund_if_failure(self) -> Self {
        self.with_end(AtEnd::Refund(RefundIf::Failure))
    }

    /// Refunds the cost after a response whose status is neither 4xx nor 5xx, nor one of gRPC that is
    /// not `OK`. If the policy has a
    /// [`Ban`](crate::Ban), such a response also forgives the refusals and bans before it.
    #[must_use]
    pub fn refund_if_success(self) -> Self {
        self.with_end(AtEnd::Refund(RefundIf::Success))
    }

    /// Settles the cost at what `function` returns for the response: what the request came to. The
    /// cost that was charged before is a reserve; see [`Limiter::settle`]. Without a response the
    /// function is not called, and the reserve stays. Of this and the conditions of refunds, the one
    /// that is set last counts.
    #[must_use]
    pub fn settle(self, function: impl Fn(&Response) -> u32 + Send + Sync + 'static) -> Self {
        self.with_end(AtEnd::settle_by(function))
    }

    /// Settles the cost at what the handler adds to its [`Usage`](crate::Usage), when the response's
    /// body has ended. Of this and the conditions of refunds, the one that is set last counts.
    #[must_use]
    pub fn settle_usage(self) -> Self {
        self.with_end(AtEnd::Usage)
    }

    /// Asks `function` for another quota for each request, in the place of the policy's quota, or of
    /// its first if it has several: see [`QuotaFunction`]. Overrides are applied after it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::http::request::Parts;
    /// use tollgate::{Key, Policy, Quota, RateLimitLayer};
    ///
    /// const API: Policy = Policy::new("api", Quota::per_minute(100));
    ///
    /// #[derive(Clone)]
    /// struct Plan {
    ///     per_minute: u32,
    /// }
    ///
    /// /// The plan that the authentication has found.
    /// fn quota_of_plan(parts: &Parts) -> Option<Quota> {
    ///     let plan = parts.extensions.get::<Plan>()?;
    ///     Quota::try_new(plan.per_minute, Duration::from_secs(60)).ok()
    /// }
    ///
    /// let layer = RateLimitLayer::new(API).key(Key::header("x-api-key")).quota(quota_of_plan);
    /// ```
    #[must_use]
    pub fn quota<M>(self, function: impl QuotaFunction<M>) -> Self {
        self.with(|limit| limit.plans = Some(Plans::shared(function)))
    }

    /// Lets a request wait until the limit admits it, for up to `max_wait`: see [`Limiter::wait`]. The
    /// body is not read meanwhile. A client that hangs up gives up its place.
    #[must_use]
    pub fn wait(self, max_wait: Duration) -> Self {
        self.with(|limit| limit.wait = Some(max_wait))
    }

    /// Sets the style of the header fields, in place of the limiter's setting.
    #[must_use]
    pub fn headers(self, style: HeaderStyle) -> Self {
        self.with(|limit| limit.headers = Some(style))
    }

    /// Sets the handling of requests that lack the key, in place of the limiter's setting.
    #[must_use]
    pub fn on_missing_key(self, mode: OnMissingKey) -> Self {
        self.with(|limit| limit.on_missing_key = Some(mode))
    }

    /// Responds to refusals with the result of `function`: see
    /// [`HttpOptions::refusal`](crate::HttpOptions::refusal).
    #[must_use]
    pub fn refusal<R: IntoResponse>(
        self,
        function: impl Fn(&Refusal<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        let function = move |refusal: &Refusal<'_>| function(refusal).into_response();
        self.with(|limit| limit.refusal = Some(Callback::Shared(Arc::new(function))))
    }

    /// Shows the layer's decisions to the handlers behind it, through the extractor
    /// [`RateLimit`](crate::RateLimit).
    #[must_use]
    pub fn show(self) -> Self {
        self.with(|limit| limit.shows = true)
    }

    /// Uses this limiter instead of the request's, the scoped or the global one.
    #[must_use]
    pub fn limiter(self, limiter: Limiter) -> Self {
        self.with_options(|options| options.limiter = Some(limiter))
    }

    fn with_end(self, at_end: AtEnd) -> Self {
        self.with(|limit| limit.set_at_end(at_end))
    }

    fn with(self, change: impl FnOnce(&mut HttpLimit)) -> Self {
        self.with_options(|options| change(&mut options.limit))
    }

    fn with_options(self, change: impl FnOnce(&mut LayerOptions)) -> Self {
        Self { limit: self.limit.change(change), ..self }
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimitService<S>;

    fn layer(&self, inner: S) -> RateLimitService<S> {
        self.placement.apply(self.limit.policy());
        RateLimitService::new(inner, self.limit.clone())
    }
}

impl fmt::Debug for RateLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limit.fmt(f)
    }
}
