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
    pub(crate) options: ResponseOptions,
}

impl fmt::Debug for RefusedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RefusedBy").field(&self.policy).finish()
    }
}

/// The limiter's options for HTTP. Their type is erased, because they have functions that take refusals,
/// which contain decisions.
#[derive(Clone)]
pub(crate) struct ResponseOptions(#[cfg(feature = "axum")] pub(crate) Arc<dyn Any + Send + Sync>);

impl ResponseOptions {
    /// Returns `true` if these are the very options of `other`.
    pub(crate) fn are(&self, other: &Self) -> bool {
        #[cfg(feature = "axum")]
        let are = Arc::ptr_eq(&self.0, &other.0);
        #[cfg(not(feature = "axum"))]
        let are = matches!((self, other), (Self(), Self()));
        are
    }
}
