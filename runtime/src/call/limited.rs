//! The error of a function that was not called.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::error::fmt_with_causes;
use crate::{Decision, Outcome, Policy, Unavailable};

/// The error of an annotated function that was not called: its limit is reached, or could not be
/// checked.
///
/// The function's own error type must be convertible from it: implement `From<RateLimited>` for
/// that type.
///
/// ```
/// use tollgate::{RateLimited, rate_limit};
///
/// #[derive(Debug)]
/// enum SendError { TooManyMails(RateLimited) }
///
/// impl From<RateLimited> for SendError {
///     fn from(limited: RateLimited) -> Self { Self::TooManyMails(limited) }
/// }
///
/// #[rate_limit(3, per = hour, key = args(recipient))]
/// async fn send_mail(recipient: &str) -> Result<(), SendError> { Ok(()) }
/// ```
pub struct RateLimited(Box<Inner>);

struct Inner {
    policy: Policy,
    cause: Cause,
}

#[expect(clippy::large_enum_variant, reason = "an error is boxed as a whole")]
enum Cause {
    Refused(Decision),
    Unavailable(Unavailable),
    CannotWait,
}

impl RateLimited {
    pub(super) fn refused(policy: &Policy, decision: Decision) -> Self {
        Self::new(policy, Cause::Refused(decision))
    }

    pub(super) fn unavailable(policy: &Policy, unavailable: Unavailable) -> Self {
        Self::new(policy, Cause::Unavailable(unavailable))
    }

    pub(super) fn cannot_wait(policy: &Policy) -> Self {
        Self::new(policy, Cause::CannotWait)
    }

    fn new(policy: &Policy, cause: Cause) -> Self {
        Self(Box::new(Inner { policy: policy.clone(), cause }))
    }

    /// Returns the name of the policy that refused.
    #[must_use]
    pub fn policy(&self) -> &str {
        self.0.policy.name()
    }

    /// Returns the time until the call may succeed; `None` if trying again does not help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.0.cause {
            Cause::Refused(decision) => decision.retry_after(),
            Cause::Unavailable(unavailable) => Some(unavailable.retry_after()),
            Cause::CannotWait => None,
        }
    }

    /// Returns the decision that refused the call; `None` if the limit could not be checked.
    #[must_use]
    pub fn decision(&self) -> Option<&Decision> {
        match &self.0.cause {
            Cause::Refused(decision) => Some(decision),
            _ => None,
        }
    }
}

impl fmt::Display for RateLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = self.policy();
        match &self.0.cause {
            Cause::Refused(decision) => match (decision.outcome(), decision.retry_after()) {
                (Outcome::Banned { .. }, Some(after)) => write!(
                    f,
                    "the subject of this call is banned for the limit `{policy}`; retry in \
                     {after:.1?}"
                ),
                (_, Some(after)) => {
                    write!(f, "the limit `{policy}` is reached; retry in {after:.1?}")
                }
                (Outcome::Blocked, None) => {
                    write!(f, "the subject of this call is blocked for the limit `{policy}`")
                }
                (_, None) => write!(f, "the limit `{policy}` can never admit a call of this cost"),
            },
            Cause::Unavailable(_) => write!(f, "the limit `{policy}` cannot be checked"),
            Cause::CannotWait => write!(
                f,
                "the limit `{policy}` is on a function that is not async, and the limiter's \
                 backend cannot answer without waiting: make the function async"
            ),
        }
    }
}

/// Creates the response of an annotated handler, for handlers that are limited as functions: 429,
/// 413 if the call can never be admitted because of its cost, 403 if its subject is blocked, or 503 if
/// the limit could not be checked.
#[cfg(feature = "axum")]
impl axum::response::IntoResponse for RateLimited {
    fn into_response(self) -> axum::response::Response {
        use crate::http::refuse_call;
        use crate::response::Reason;

        let Inner { policy, cause } = *self.0;
        match cause {
            Cause::Refused(decision) => refuse_call(&policy, Reason::of(&decision)),
            Cause::Unavailable(unavailable) => {
                refuse_call(&policy, Reason::Unavailable(&unavailable))
            }
            Cause::CannotWait => refuse_call(&policy, Reason::CannotWait),
        }
    }
}

impl fmt::Debug for RateLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

impl Error for RateLimited {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0.cause {
            Cause::Unavailable(unavailable) => Some(unavailable),
            _ => None,
        }
    }
}

/// The error type of an annotated function: any type that implements `From<RateLimited>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot say that a limit was reached",
    label = "the error of a function with a limit is made of a `RateLimited`",
    note = "write `impl From<tollgate::RateLimited> for {Self}`"
)]
pub trait FromRateLimited {
    /// Creates the error of a call that was refused.
    fn from_rate_limited(limited: RateLimited) -> Self;
}

#[diagnostic::do_not_recommend]
impl<E: From<RateLimited>> FromRateLimited for E {
    fn from_rate_limited(limited: RateLimited) -> Self {
        limited.into()
    }
}

/// The return type of an annotated function: a `Result`, which can contain the refusal.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot say that a limit was reached",
    label = "a function with a limit returns a `Result`",
    note = "write `Result<{Self}, E>` with an `E` that is `From<tollgate::RateLimited>`, such as \
            `tollgate::RateLimited` itself"
)]
pub trait LimitedResult {
    /// Creates the result of a call that was refused.
    fn refusal(limited: RateLimited) -> Self;
}

impl<T, E: FromRateLimited> LimitedResult for Result<T, E> {
    fn refusal(limited: RateLimited) -> Self {
        Err(E::from_rate_limited(limited))
    }
}
