//! The error of a function that was not called.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::error::fmt_with_causes;
use crate::refused_by::RefusedBy;
use crate::{Decision, Outcome, Unavailable};

/// The error of an annotated function that was not called, or of a refused check
/// ([`Decision::into_result`]): the limit is reached, or could not be checked.
///
/// The function's own error type must be convertible from it: implement `From<RateLimited>` for
/// that type. With the feature `tonic`, `tonic::Status` is. For a type of another crate, write
/// `refusal = path` in the attribute instead, the path of a `fn(RateLimited) -> E`.
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
    /// The limit; `None` if the error is not that of a check.
    limit: Option<RefusedBy>,
    cause: Cause,
}

#[expect(clippy::large_enum_variant, reason = "an error is boxed as a whole")]
enum Cause {
    Refused(Decision),
    Unavailable(Unavailable),
    CannotWait,
}

impl RateLimited {
    pub(super) fn cannot_wait(limit: RefusedBy) -> Self {
        Self::new(Some(limit), Cause::CannotWait)
    }

    fn new(limit: Option<RefusedBy>, cause: Cause) -> Self {
        Self(Box::new(Inner { limit, cause }))
    }

    /// Returns the name of the policy that refused. It is empty if the error was made from an
    /// [`Unavailable`] that no method of a limiter has returned.
    #[must_use]
    pub fn policy(&self) -> &str {
        self.0.limit.as_ref().map_or("", |limit| limit.policy.name())
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

/// Creates the response of an annotated handler: 429, 413 if the call can never be admitted because
/// of its cost, 403 if its subject is blocked, or 503 if the limit could not be checked. The options
/// are those of the limiter that was asked ([`HttpOptions`](crate::HttpOptions)).
#[cfg(feature = "axum")]
impl axum::response::IntoResponse for RateLimited {
    fn into_response(self) -> axum::response::Response {
        self.answered(crate::http::refuse_call)
    }
}

#[cfg(feature = "axum")]
impl RateLimited {
    /// Returns the response that `answer` makes of the limit and the reason.
    pub(crate) fn answered(
        &self,
        answer: fn(Option<&RefusedBy>, crate::response::Reason<'_>) -> axum::response::Response,
    ) -> axum::response::Response {
        use crate::response::Reason;

        let Inner { limit, cause } = &*self.0;
        let reason = match cause {
            Cause::Refused(decision) => Reason::of(decision),
            Cause::Unavailable(unavailable) => Reason::Unavailable(unavailable),
            Cause::CannotWait => Reason::CannotWait,
        };
        answer(limit.as_ref(), reason)
    }
}

/// Creates the refusal of a check that could not be made, so that `?` answers it like the attribute
/// does.
impl From<Unavailable> for RateLimited {
    fn from(unavailable: Unavailable) -> Self {
        Self::new(unavailable.limit().cloned(), Cause::Unavailable(unavailable))
    }
}

impl Decision {
    /// Returns the decision if the request may go on, and otherwise the refusal as an error. As a
    /// response the error is what the attribute would answer by the same policy: the same status,
    /// header fields and body, by the options of the limiter that was asked.
    ///
    /// A policy in [shadow mode](crate::Override::shadow) refuses nobody, so its decisions are
    /// returned in any case.
    ///
    /// ```
    /// use tollgate::{Policy, Quota, RateLimited, Subject, get_limiter};
    ///
    /// const EXPORTS: Policy = Policy::new("exports", Quota::per_hour(10));
    ///
    /// async fn export(account: u64, pages: u32) -> Result<String, RateLimited> {
    ///     let subject = Subject::from(account.to_string());
    ///     let limiter = get_limiter();
    ///     let _paid = limiter.check_cost(&EXPORTS, subject, pages).await?.into_result()?;
    ///     Ok("…".to_owned())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the policy refuses the request.
    pub fn into_result(self) -> Result<Self, RateLimited> {
        let limit = match self.refused_by() {
            _ if self.is_allowed() => return Ok(self),
            Some(limit) if limit.policy.is_shadow() => return Ok(self),
            limit => limit.cloned(),
        };
        Err(RateLimited::new(limit, Cause::Refused(self)))
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
    note = "write `impl From<tollgate::RateLimited> for {Self}`, if that type is your own",
    note = "if it is of another crate, write `refusal = self::refused` in each attribute, and \
            `fn refused(limited: tollgate::RateLimited) -> {Self}`"
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

/// The return type of an annotated function that is not async, like [`LimitedResult`]. Its text also
/// says how to write a handler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot say that a limit was reached",
    label = "a function that is not `async` is limited as a plain function, which returns a `Result`",
    note = "if this is an axum handler, write `async fn`",
    note = "if it is a plain function, write `Result<{Self}, E>` with an `E` that is \
            `From<tollgate::RateLimited>`, such as `tollgate::RateLimited` itself"
)]
pub trait SyncResult {
    /// Creates the result of a call that was refused.
    fn refusal(limited: RateLimited) -> Self;
}

impl<T, E: FromRateLimited> SyncResult for Result<T, E> {
    fn refusal(limited: RateLimited) -> Self {
        LimitedResult::refusal(limited)
    }
}

/// The return type of an annotated function whose error the user's `refusal` makes.
#[diagnostic::on_unimplemented(
    message = "`refusal` makes a `{E}`, and that is not the error of `{Self}`",
    label = "this function returns a `{E}`",
    note = "it is a function `fn(tollgate::RateLimited) -> E`, not async, and the function with the limit \
            returns a `Result<T, E>` with the same `E`"
)]
pub trait FailsWith<E> {
    /// Creates the result of a call that was refused.
    fn failure(error: E) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T, E> FailsWith<E> for Result<T, E> {
    fn failure(error: E) -> Self {
        Err(error)
    }
}
