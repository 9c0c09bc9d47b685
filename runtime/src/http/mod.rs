//! HTTP: limits in front of handlers and services.
//!
//! The extractor of an annotated handler's arguments checks the limits (`extract.rs`). Any other
//! service is limited by a layer (`layer.rs`, `service.rs`). Both use `check.rs`, which resolves
//! the key, asks the limiter, and prepares the header fields or the refusal (`crate::response`).

mod admission;
mod call_refusal;
mod check;
mod convert;
mod extract;
mod extractor;
mod grants;
mod handler_future;
mod layer;
mod layer_limit;
mod limit;
mod rejection;
mod service;
mod skip;

pub(crate) use self::call_refusal::refuse_call;
pub use self::convert::{
    IntoAnswer, IntoLimitedResponse, answered, failure, require_send, success,
};
pub use self::extract::{Checked, InLast};
pub use self::extractor::{Argument, IsNoRateLimit, PolicyDecision, RateLimit};
pub use self::handler_future::HandlerFuture;
pub use self::layer::RateLimitLayer;
pub use self::limit::{Annotated, Cost, HttpLimit};
pub use self::service::{RateLimitService, ResponseFuture};
use crate::Limiter;

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
