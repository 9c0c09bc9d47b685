//! HTTP: what refusals and header fields look like, and errors of keys. The layer, the extractor
//! and the options are at the root: [`RateLimitLayer`](crate::RateLimitLayer),
//! [`RateLimit`](crate::RateLimit), [`HttpOptions`](crate::HttpOptions) and [`Key`](crate::Key).

// The module holds the limits in front of handlers and services. The extractor of an annotated
// handler's arguments checks the limits (`extract.rs`). Any other service is limited by a layer
// (`layer.rs`, `service.rs`). Both use `check.rs`, which resolves the key, asks the limiter, and
// prepares the header fields or the refusal (`crate::response`).

mod admission;
pub(crate) mod argument;
pub(crate) mod argument_values;
mod at_end;
mod call_refusal;
mod check;
pub(crate) mod client_addr;
pub(crate) mod convert;
mod counted;
pub(crate) mod extract;
pub(crate) mod extractor;
mod granted;
mod grants;
pub(crate) mod handler_future;
mod key_subject;
pub(crate) mod layer;
mod layer_limit;
mod layer_placement;
pub(crate) mod limit;
mod limiter_layer;
mod permit;
pub(crate) mod plan;
pub(crate) mod refund_if;
mod refused;
mod refused_body;
mod rejection;
mod request_grant;
mod service;
mod skip;
mod success;
pub(crate) mod usage;
mod watched_body;

pub(crate) use self::call_refusal::refuse_call;
#[cfg(feature = "tonic")]
pub(crate) use self::call_refusal::refuse_grpc_call;
pub use self::client_addr::NoClientAddr;
pub use self::extractor::PolicyDecision;
pub use self::limiter_layer::{LimiterBody, LimiterFuture, LimiterLayer, LimiterService};
pub use self::plan::QuotaFunction;
pub use self::service::{RateLimitService, ResponseFuture};
pub use crate::key::{ForwardedHeader, KeyError, OnMissingKey};
pub use crate::response::{
    GrpcStatus, HeaderStyle, HttpOptionsError, LegacyReset, Problem, Reason, Refusal,
};
