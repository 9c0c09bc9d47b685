//! Responses as clients see them: header fields, refusals, and the options of both.
//!
//! This module does not use a limiter, because the limiter itself contains [`HttpOptions`].

mod effective_http_options;
mod grpc_details;
mod grpc_request;
mod grpc_status;
mod header_cache;
mod header_style;
mod header_values;
mod json;
mod legacy_headers;
mod limit_field;
mod limit_state;
mod options;
mod passing_refusal;
mod policy_text;
mod problem;
pub(crate) mod problem_type;
mod refusal;
mod refusal_body;
mod refusal_context;
mod refused_body;
mod reset_time;
pub(crate) mod seconds;
mod structured;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use self::effective_http_options::EffectiveHttpOptions;
pub(crate) use self::grpc_request::is_grpc;
pub(crate) use self::grpc_status::GRPC_STATUS;
pub use self::grpc_status::GrpcStatus;
pub(crate) use self::header_cache::HeaderCache;
pub use self::header_style::{HeaderStyle, LegacyReset};
pub(crate) use self::header_values::HeaderValues;
pub(crate) use self::limit_state::LimitState;
pub(crate) use self::options::networks;
pub use self::options::{HttpOptions, HttpOptionsError};
pub(crate) use self::policy_text::PolicyText;
pub use self::problem::Problem;
pub use self::refusal::{Reason, Refusal};
pub(crate) use self::refusal_context::{RefusalContext, respond_without_address};
pub(crate) use self::refused_body::RefusedBody;
pub(crate) use self::reset_time::WallClocks;
