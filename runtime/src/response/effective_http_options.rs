//! The options of a limiter for HTTP, as they apply to its requests.

use std::sync::Arc;

use axum::response::Response;

use super::header_style::HeaderStyle;
use super::refusal::Refusal;
use super::refused_body::RefusedBody;
use super::reset_time::ResetTime;
use crate::key::{AddressOptions, OnMissingKey};

pub(crate) type RefusalFunction = Arc<dyn Fn(&Refusal<'_>) -> Response + Send + Sync>;

/// The options of a limiter for HTTP. Each one that nobody has set has its default.
pub(crate) struct EffectiveHttpOptions {
    pub(crate) address: AddressOptions,
    pub(crate) headers: HeaderStyle,
    pub(crate) legacy_reset: ResetTime,
    pub(crate) on_missing_key: OnMissingKey,
    /// The function that creates the responses to refusals; `None` for problem details.
    pub(crate) refusal: Option<RefusalFunction>,
    pub(crate) refused_body: RefusedBody,
}
