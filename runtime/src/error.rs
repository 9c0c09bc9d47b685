//! What can go wrong, apart from being refused.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Whether a failed operation may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Execution {
    /// It certainly had no effect: it may be sent again.
    NotExecuted,
    /// It may have had its effect: sending it again could charge twice.
    Unknown,
}

/// A backend could not answer.
#[derive(Debug)]
pub struct BackendError(Box<Failure>);

/// Behind a pointer, for every check may return one.
#[derive(Debug)]
struct Failure {
    execution: Execution,
    is_rejection: bool,
    retry_in: Option<Duration>,
    source: Box<dyn Error + Send + Sync>,
}

impl BackendError {
    /// The operation certainly had no effect.
    pub fn not_executed(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Execution::NotExecuted, source.into())
    }

    /// The operation may have had its effect.
    pub fn unknown(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Execution::Unknown, source.into())
    }

    /// The operation had no effect, and that is its own fault: others may succeed. That says
    /// nothing of how the backend is, and does not open a [`CircuitBreaker`].
    ///
    /// [`CircuitBreaker`]: crate::CircuitBreaker
    pub fn rejected(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut error = Self::not_executed(source);
        error.0.is_rejection = true;
        error
    }

    fn new(execution: Execution, source: Box<dyn Error + Send + Sync>) -> Self {
        Self(Box::new(Failure { execution, is_rejection: false, retry_in: None, source }))
    }

    /// Says when it may be worth while to try again.
    pub(crate) fn retry_in(mut self, span: Duration) -> Self {
        self.0.retry_in = Some(span);
        self
    }

    pub(crate) fn is_rejection(&self) -> bool {
        self.0.is_rejection
    }

    /// Whether it certainly had no effect.
    pub(crate) fn had_no_effect(&self) -> bool {
        self.execution() == Execution::NotExecuted
    }

    /// The same for another operation, which waited for this one to succeed.
    pub(crate) fn for_another(&self) -> Self {
        let Failure { is_rejection, retry_in, .. } = *self.0;
        let source = self.0.source.to_string().into();
        Self(Box::new(Failure {
            execution: Execution::NotExecuted,
            is_rejection,
            retry_in,
            source,
        }))
    }

    /// Whether the operation may have had its effect.
    #[must_use]
    pub fn execution(&self) -> Execution {
        self.0.execution
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.execution {
            Execution::NotExecuted => write!(f, "the rate limit's backend did not act: "),
            Execution::Unknown => write!(f, "the rate limit's backend may or may not have acted: "),
        }?;
        self.0.source.fmt(f)
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.source()
    }
}

/// No decision could be had, and the policy is closed ([`OnError::Closed`]): refuse the
/// request, but do not blame the client.
///
/// [`OnError::Closed`]: crate::OnError::Closed
#[derive(Debug, thiserror::Error)]
#[error("no rate limit decision")]
pub struct Unavailable {
    source: Box<UnavailableCause>,
}

#[derive(Debug, thiserror::Error)]
enum UnavailableCause {
    #[error(transparent)]
    Backend(BackendError),
    /// The limiter should not have started.
    #[error(transparent)]
    Start(Arc<StartError>),
}

impl Unavailable {
    /// How long a client should wait before it tries again: until the backend is tried, but at
    /// least 1 s.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        let retry_in = match &*self.source {
            UnavailableCause::Backend(error) => error.0.retry_in,
            UnavailableCause::Start(_) => None,
        };
        retry_in.unwrap_or_default().max(Duration::from_secs(1))
    }
}

impl From<BackendError> for Unavailable {
    fn from(error: BackendError) -> Self {
        Self { source: Box::new(UnavailableCause::Backend(error)) }
    }
}

impl From<Arc<StartError>> for Unavailable {
    fn from(error: Arc<StartError>) -> Self {
        Self { source: Box::new(UnavailableCause::Start(error)) }
    }
}

/// The limiter is not fit to start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The backend is not ready.
    #[error("the backend is not ready")]
    Backend(#[from] BackendError),
    /// Two annotations have one name but count differently.
    #[error(
        "the name `{name}` stands for different limits at {} and at {}: give them different \
         names, or the same limit",
        places[0], places[1]
    )]
    Conflict {
        /// The name.
        name: String,
        /// Where the two annotations are, as `file:line`.
        places: [String; 2],
    },
    /// Two functions have the same path and would share a budget that neither asked for.
    #[error(
        "the limits at {} and at {} are both known as `{name}` and would share one budget: \
         give one of them a `name`, or, if that is what you want, give both the same `group`",
        places[0], places[1]
    )]
    SharedName {
        /// The path of both.
        name: String,
        /// Where the two annotations are, as `file:line`.
        places: [String; 2],
    },
    /// A policy asks for what cannot be kept.
    #[error("the policy `{name}` cannot be kept: {reason}")]
    Unsupported {
        /// The policy's name.
        name: String,
        /// What it asks for, and what to write instead.
        reason: &'static str,
    },
}
