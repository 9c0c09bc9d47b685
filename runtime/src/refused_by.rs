//! The limit that refused a check, for the response to the refusal.

#[cfg(feature = "axum")]
use std::any::Any;
use std::fmt;
#[cfg(feature = "axum")]
use std::sync::Arc;

use crate::Policy;

/// The limit that refused a check or could not decide it: the policy in effect, and what its limiter
/// says of responses.
#[derive(Clone)]
pub(crate) struct RefusedBy {
    pub(crate) policy: Policy,
    /// The limiter's options for HTTP. Their type is erased, because they have functions that take
    /// refusals, which contain decisions.
    #[cfg(feature = "axum")]
    pub(crate) options: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for RefusedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RefusedBy").field(&self.policy).finish()
    }
}
