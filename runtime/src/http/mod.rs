//! HTTP: what refusals and header fields look like, and errors of keys. The layer, the extractor
//! and the options are at the root: [`RateLimitLayer`](crate::RateLimitLayer),
//! [`RateLimit`](crate::RateLimit), [`HttpOptions`](crate::HttpOptions) and [`Key`](crate::Key).

// The module holds the limits in front of handlers and services. The extractor of an annotated
// handler's arguments checks the limits (`extract.rs`). Any other service is limited by a layer
// (`layer.rs`, `service.rs`). Both use `check.rs`, which resolves the key, asks the limiter, and
// prepares the header fields or the refusal (`crate::response`).

mod admission;
mod call_refusal;
mod check;
pub(crate) mod client_addr;
pub(crate) mod convert;
pub(crate) mod extract;
pub(crate) mod extractor;
mod grants;
pub(crate) mod handler_future;
pub(crate) mod layer;
mod layer_limit;
pub(crate) mod limit;
mod rejection;
mod service;
mod skip;

pub(crate) use self::call_refusal::refuse_call;
pub(crate) use self::check::with_limiter;
pub use self::client_addr::NoClientAddr;
pub use self::extractor::PolicyDecision;
pub use self::service::{RateLimitService, ResponseFuture};
use crate::Limiter;
pub use crate::key::{ForwardedHeader, KeyError, OnMissingKey};
pub use crate::response::{HeaderStyle, HttpOptionsError, LegacyReset, Problem, Reason, Refusal};

impl Limiter {
    /// Creates a layer that makes the annotated handlers below it use this limiter instead of the
    /// global one.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use tollgate::{Limiter, MemoryBackend};
    ///
    /// let limiter = Limiter::new(MemoryBackend::new());
    /// let app: Router = Router::new().route("/", get("hello")).layer(limiter.layer());
    /// ```
    pub fn layer(&self) -> axum::Extension<Self> {
        axum::Extension(self.clone())
    }
}
