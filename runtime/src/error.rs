//! Errors: of backends, of checks without a decision, and of limiters that cannot start.
//!
//! A program whose `main` returns an error prints the error's `Debug` text. So all errors of this
//! crate format `Debug` as [`fmt_with_causes`] does: as the message and its causes.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Returns the message of an error, followed by those of its causes. A cause whose message is part
/// of the text already is left out.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text
}

/// Formats the `Debug` text of an error: its message and those of its causes.
pub(crate) fn fmt_with_causes(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&with_causes(error))
}

/// The effect of a failed operation, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Execution {
    /// The operation certainly had no effect: it may be sent again.
    NotExecuted,
    /// The operation may have had its effect: sending it again could charge twice.
    Unknown,
}

/// The error of a backend that could not answer.
#[derive(Clone)]
pub struct BackendError(Box<Failure>);

/// The contents of a [`BackendError`]. They are boxed to make the error small, because every check
/// may return one.
#[derive(Clone, Debug)]
struct Failure {
    execution: Execution,
    cause: FailureCause,
    /// `true` if waiting does not heal the failure.
    is_lasting: bool,
    retry_in: Option<Duration>,
    /// The event that made the operation fail, such as one call that was not answered. Operations
    /// that the same event made fail have the same number; 0 if it is not known.
    event: u64,
    source: Arc<dyn Error + Send + Sync>,
}

/// The cause of a failure, on which the limiter's reaction depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailureCause {
    /// The backend cannot answer. This is an outage.
    Backend,
    /// The operation itself is at fault. Other operations may succeed.
    Operation,
    /// The backend answers, but its operator does not permit the operation. This is no outage: it
    /// lasts until the operator grants the right.
    #[cfg(feature = "redis")]
    Rights,
}

impl BackendError {
    /// Creates the error of an operation that certainly had no effect.
    pub fn not_executed(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Execution::NotExecuted, source.into())
    }

    /// Creates the error of an operation that may have had its effect.
    pub fn unknown(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Execution::Unknown, source.into())
    }

    /// Creates the error of an operation that was rejected through its own fault, and had no
    /// effect. Other operations may succeed, so this error does not indicate that the backend
    /// fails, and does not open a [`CircuitBreaker`].
    ///
    /// [`CircuitBreaker`]: crate::CircuitBreaker
    pub fn rejected(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut error = Self::not_executed(source);
        error.0.cause = FailureCause::Operation;
        error
    }

    /// Creates the error of an operation that the backend does not permit. It is not an outage, so
    /// no policy lets requests through because of it, and it does not open a circuit breaker.
    #[cfg(feature = "redis")]
    pub(crate) fn forbidden(
        execution: Execution,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let mut error = Self::new(execution, source.into());
        error.0.cause = FailureCause::Rights;
        error
    }

    fn new(execution: Execution, source: Box<dyn Error + Send + Sync>) -> Self {
        let source = source.into();
        let cause = FailureCause::Backend;
        let (is_lasting, retry_in, event) = (false, None, 0);
        Self(Box::new(Failure { execution, cause, is_lasting, retry_in, event, source }))
    }

    /// Creates the error of a single operation whose answer is of no use. It does not indicate that
    /// the backend fails, but the operation may have had its effect.
    #[cfg(feature = "redis")]
    pub(crate) fn useless(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut error = Self::unknown(source);
        error.0.cause = FailureCause::Operation;
        error
    }

    /// Sets the event that made the operation fail.
    #[cfg(feature = "redis")]
    pub(crate) fn of_event(mut self, event: u64) -> Self {
        self.0.event = event;
        self
    }

    /// Returns the event that made the operation fail; 0 if it is not known.
    pub(crate) fn event(&self) -> u64 {
        self.0.event
    }

    /// Marks the failure as one that waiting does not heal, such as a wrong password or a server of
    /// another kind. A limiter does not start with such a backend, whatever its limits say of
    /// outages; see [`StartError::is_away`].
    #[must_use]
    pub fn lasting(mut self) -> Self {
        self.0.is_lasting = true;
        self
    }

    /// Returns `true` if waiting does not heal the failure: it is marked as
    /// [`lasting`](Self::lasting), the operation itself was rejected, or the backend does not permit
    /// it.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.0.is_lasting || self.is_rejection()
    }

    /// Sets the time after which trying again may succeed.
    pub(crate) fn retry_in(mut self, span: Duration) -> Self {
        self.0.retry_in = Some(span);
        self
    }

    /// Adds the address of the server at which the operation failed to the message, unless it is
    /// part of the message already.
    #[cfg(feature = "redis")]
    pub(crate) fn at(mut self, address: &str) -> Self {
        let reason = self.0.source.to_string();
        if !reason.contains(address) {
            let source: Box<dyn Error + Send + Sync> = format!("{address}: {reason}").into();
            self.0.source = source.into();
        }
        self
    }

    /// Returns the time after which trying again may succeed, if it is known.
    pub(crate) fn get_retry_in(&self) -> Option<Duration> {
        self.0.retry_in
    }

    /// Returns the reason, without the words about the operation's effect.
    pub(crate) fn reason(&self) -> String {
        self.0.source.to_string()
    }

    /// Returns `true` if the error does not show that the backend fails: the operation was at fault,
    /// or the backend does not permit it.
    pub(crate) fn is_rejection(&self) -> bool {
        self.0.cause != FailureCause::Backend
    }

    /// Returns `true` if the backend answers, but does not permit the operation.
    pub(crate) fn is_forbidden(&self) -> bool {
        #[cfg(feature = "redis")]
        return self.0.cause == FailureCause::Rights;
        #[cfg(not(feature = "redis"))]
        false
    }

    /// Returns `true` if the operation certainly had no effect.
    pub(crate) fn had_no_effect(&self) -> bool {
        self.execution() == Execution::NotExecuted
    }

    /// Returns a copy of this error for another operation, which was waiting for this one to
    /// succeed. The other operation was not executed.
    pub(crate) fn for_another(&self) -> Self {
        let Failure { cause, is_lasting, retry_in, event, .. } = *self.0;
        let source: Box<dyn Error + Send + Sync> = self.0.source.to_string().into();
        let (execution, source) = (Execution::NotExecuted, source.into());
        Self(Box::new(Failure { execution, cause, is_lasting, retry_in, event, source }))
    }

    /// Returns the effect of the operation, as far as it is known.
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

impl fmt::Debug for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.source()
    }
}

/// The error of a limiter that cannot start.
#[derive(Clone)]
#[non_exhaustive]
pub enum StartError {
    /// The backend is not ready. [`is_away`](Self::is_away) tells if it may soon be.
    Backend(BackendError),
    /// Two annotations have the same name but different limits.
    #[non_exhaustive]
    Conflict {
        /// The name of both policies.
        name: String,
        /// The places of the two annotations, as `file:line`.
        places: [String; 2],
    },
    /// Two functions have policies of the same name and would share a budget, though not both
    /// annotations ask for that by a `group`.
    #[non_exhaustive]
    SharedName {
        /// The name of both policies.
        name: String,
        /// The places of the two annotations, as `file:line`.
        places: [String; 2],
    },
    /// Another attribute has copied an annotation to a function that it makes. A call would be counted
    /// at both functions.
    #[non_exhaustive]
    Copied {
        /// The paths of the annotated function, and of the function that was made.
        functions: [String; 2],
        /// The place of the annotation, as `file:line`.
        place: String,
    },
    /// The limiter cannot apply a policy.
    #[non_exhaustive]
    Unsupported {
        /// The policy's name.
        name: String,
        /// The reason, and the remedy.
        reason: &'static str,
    },
}

impl StartError {
    /// Returns `true` if the backend is away: it cannot be reached or is not ready, and that may heal
    /// without a change of the program or its settings. Returns `false` if waiting heals nothing: for
    /// annotations that contradict each other, a wrong password, a certificate that is not trusted, a
    /// server of another kind, or a right that the user lacks.
    ///
    /// A program with closed limits that prefers to start and to answer 503 until the backend is
    /// there:
    ///
    /// ```no_run
    /// # async fn start(limiter: tollgate::Limiter) -> Result<(), tollgate::StartError> {
    /// match limiter.initialize().await {
    ///     Err(error) if error.is_away() => eprintln!("{error}"),
    ///     initialized => initialized?,
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Backend(error) if !error.is_lasting())
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend(error) if error.is_forbidden() => {
                write!(f, "the backend does not permit what the limits need: {}", error.0.source)
            }
            Self::Backend(error) if error.is_lasting() => write!(
                f,
                "the backend cannot serve the limits: {}: correct its settings",
                error.0.source
            ),
            Self::Backend(error) => write!(
                f,
                "the backend is not ready: {}: start it, or correct its settings",
                error.0.source
            ),
            Self::Conflict { name, places: [first, second] } => write!(
                f,
                "the name `{name}` stands for different limits at {first} and at {second}: give \
                 them different names, or the same limit"
            ),
            Self::SharedName { name, places: [first, second] } => {
                write!(
                    f,
                    "the limits at {first} and at {second} are both known as `{name}` and would \
                     share one budget: give one of them another `name`, or, if that is what you \
                     want, give both the same `group`"
                )?;
                if first == second {
                    f.write_str(
                        "; if an attribute above `#[rate_limit]` has made two functions of one, \
                         write that attribute below it",
                    )?;
                }
                Ok(())
            }
            Self::Copied { functions: [original, copy], place } => write!(
                f,
                "another attribute has copied the limit of `{original}` to `{copy}` at {place}, and \
                 calls would be counted at both: write `#[rate_limit]` above that attribute"
            ),
            Self::Unsupported { name, reason } => {
                write!(f, "the policy `{name}` cannot be applied: {reason}")
            }
        }
    }
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

impl Error for StartError {
    /// Returns the cause of the backend's failure. The failure itself is part of the message.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Backend(error) => error.source(),
            Self::Conflict { .. }
            | Self::SharedName { .. }
            | Self::Copied { .. }
            | Self::Unsupported { .. } => None,
        }
    }
}

impl From<BackendError> for StartError {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}
