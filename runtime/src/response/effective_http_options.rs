//! The options of a limiter for HTTP, as they apply to its requests.

use std::sync::Arc;

use axum::response::Response;

use super::header_style::HeaderStyle;
use super::refusal::Refusal;
use super::refused_body::RefusedBody;
use super::reset_time::ResetTime;
use crate::key::{AddressOptions, KeyError, OnMissingKey};
use crate::once_each::OnceEach;

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
    /// The mistakes in the server that were logged.
    pub(super) mistakes: OnceEach,
}

impl EffectiveHttpOptions {
    /// Logs a mistake in the server because of which requests lack the key of a policy. Each mistake
    /// is logged once for each policy, except that an address is missing for all of them alike.
    pub(crate) fn log_mistake(&self, policy: &str, error: KeyError) {
        let Some(advice) = error.advice() else { return };
        let of_policy = if error == KeyError::NoConnectInfo { "" } else { policy };
        if self.mistakes.is_first(&(error, of_policy)) {
            tracing::warn!(policy, "cannot tell whose request it is: {advice}");
        }
    }
}
