//! The error of a check without a decision.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::fmt_with_causes;
use crate::refused_by::RefusedBy;
use crate::{BackendError, StartError};

/// The error of a check without a decision, because the backend cannot answer and the policy is
/// closed ([`OnError::Closed`]). Refuse the request, but do not blame the client.
///
/// [`OnError::Closed`]: crate::OnError::Closed
#[derive(Clone)]
pub struct Unavailable(Box<Undecided>);

/// The cause, and the limit that could not be checked. They are boxed to make the error small.
#[derive(Clone)]
struct Undecided {
    cause: UnavailableCause,
    limit: Option<RefusedBy>,
}

#[derive(Clone, Debug, thiserror::Error)]
enum UnavailableCause {
    #[error(transparent)]
    Backend(BackendError),
    /// An annotation of the program is invalid, so its limit cannot be applied.
    #[error(transparent)]
    Start(Arc<StartError>),
}

impl Unavailable {
    fn new(cause: UnavailableCause) -> Self {
        Self(Box::new(Undecided { cause, limit: None }))
    }

    /// Sets the limit that could not be checked.
    pub(crate) fn of(mut self, limit: RefusedBy) -> Self {
        self.0.limit = Some(limit);
        self
    }

    /// Returns the limit that could not be checked; `None` if the error is not that of a check.
    pub(crate) fn limit(&self) -> Option<&RefusedBy> {
        self.0.limit.as_ref()
    }

    /// Returns the time for which a client should wait before it tries again. This is the time
    /// until the backend is tried again, but at least 1 second.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        let retry_in = match &self.0.cause {
            UnavailableCause::Backend(error) => error.get_retry_in(),
            UnavailableCause::Start(_) => None,
        };
        retry_in.unwrap_or_default().max(Duration::from_secs(1))
    }
}

impl fmt::Debug for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no rate limit decision")
    }
}

impl Error for Unavailable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0.cause)
    }
}

impl From<BackendError> for Unavailable {
    fn from(error: BackendError) -> Self {
        Self::new(UnavailableCause::Backend(error))
    }
}

impl From<Arc<StartError>> for Unavailable {
    fn from(error: Arc<StartError>) -> Self {
        Self::new(UnavailableCause::Start(error))
    }
}
