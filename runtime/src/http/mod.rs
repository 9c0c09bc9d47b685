//! The HTTP surface: what stands in front of handlers and services, and what clients see of it.
//!
//! guard (of an annotated handler) or layer (of any service) → ask (whose request, what does it
//! cost, may it go on) → fields (the headers) → refusal (429, 503, …).

mod admission;
mod annotated;
mod ask;
mod fields;
mod guard;
mod layer;
mod limited;
mod options;
mod problem;
mod refusal;
mod respond;
mod service;
mod shown;
mod skip;

pub use self::annotated::{Annotated, Cost, HandlerLimit};
pub use self::guard::Guarded;
pub use self::layer::RateLimitLayer;
pub use self::limited::Limited;
pub use self::options::{
    ForwardedHeader, HeaderStyle, HttpOptions, HttpOptionsError, LegacyReset, OnMissingKey,
};
pub use self::problem::Problem;
pub(crate) use self::refusal::refuse_call;
pub use self::refusal::{Reason, Refusal};
pub use self::respond::{
    IntoAnswer, IntoLimitedResponse, answered, failure, require_send, success,
};
pub use self::service::{RateLimitService, ResponseFuture};
pub use self::shown::{PolicyDecision, RateLimit};
use crate::Limiter;

impl Limiter {
    /// A layer that makes this limiter, and not the global one, the one that the annotated
    /// handlers below it ask.
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
