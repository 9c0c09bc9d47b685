//! The guard in front of axum handlers, and what clients see of it.
//!
//! guard (asks before the body is read) → fields (the headers) → refusal (429, 503, …).

mod fields;
mod guard;
pub(crate) mod refusal;
mod respond;

pub use self::guard::{Annotated, Cost, Guarded, HandlerLimit};
pub use self::respond::{IntoLimitedResponse, failure, require_send, success};
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
