//! Refusals, as they are passed to the user's functions.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::request::Parts;

use super::header_style::HeaderStyle;
use super::limit_state::LimitState;
use super::policy_text::PolicyText;
use super::reset_time::ResetTime;
use super::seconds::whole_seconds;
use crate::key::KeyError;
use crate::{Decision, Outcome, Policy, Unavailable};

/// The reason for a refusal.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Reason<'a> {
    /// A quota does not admit the request. The status is 429. It is 413 if the quota can never admit
    /// it ([`Outcome::Never`]) because of its own cost, which a function has computed.
    QuotaExceeded(&'a Decision),
    /// The subject is blocked ([`Outcome::Blocked`]): 403.
    Blocked(&'a Decision),
    /// The backend has failed, and the policy is closed. The status is 503.
    Unavailable(&'a Unavailable),
    /// The limit is on a function that is not async, and the backend cannot answer without waiting.
    /// The status is 503.
    CannotWait,
    /// The request lacks the key of its limit. The status is 400 if the client left the key out, or
    /// else 500.
    NoKey(KeyError),
}

impl<'a> Reason<'a> {
    /// Returns the reason of a decision that refused.
    pub(crate) fn of(decision: &'a Decision) -> Self {
        match decision.outcome() {
            Outcome::Blocked => Self::Blocked(decision),
            _ => Self::QuotaExceeded(decision),
        }
    }

    /// Returns the time until the limit that refused admits the same request; `None` if waiting
    /// does not help.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::QuotaExceeded(decision) => decision.retry_after(),
            Self::Unavailable(unavailable) => Some(unavailable.retry_after()),
            Self::Blocked(_) | Self::CannotWait | Self::NoKey(_) => None,
        }
    }
}

/// A refusal, as it is passed to a function that creates the response. The function belongs to the
/// limiter ([`HttpOptions::refusal`](crate::HttpOptions::refusal)) or to a policy (`refusal = path`
/// in the attribute).
///
/// ```
/// use axum::http::StatusCode;
/// use axum::response::IntoResponse;
/// use tollgate::http::Refusal;
/// use tollgate::rate_limit;
///
/// fn slow_down(refusal: &Refusal<'_>) -> impl IntoResponse + use<> {
///     let seconds = refusal.retry_after_seconds().unwrap_or(60);
///     (refusal.status(), format!("Try again in {seconds} seconds.\n"))
/// }
///
/// #[rate_limit(100, per = 60, refusal = self::slow_down)]
/// async fn list_orders() {}
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Refusal<'a> {
    policy: &'a Policy,
    pub(super) text: &'a PolicyText,
    pub(super) reason: Reason<'a>,
    request: Option<&'a Parts>,
    /// `true` if every request has the same cost at the refusing limit.
    has_fixed_cost: bool,
    /// `true` if the client is told nothing of the limit that refuses.
    hides_limit: bool,
    /// `true` if the refusal is that of a call, and its answer has to be a gRPC status.
    pub(super) is_grpc_call: bool,
    /// The limits behind the refusing one, as peeks have found them.
    pub(super) behind: &'a [LimitState<'a>],
    /// The time until the same request succeeds; `None` if waiting does not help.
    wait: Option<Duration>,
}

impl<'a> Refusal<'a> {
    pub(crate) fn new(
        policy: &'a Policy,
        text: &'a PolicyText,
        reason: Reason<'a>,
        request: Option<&'a Parts>,
    ) -> Self {
        let wait = reason.wait();
        Self {
            policy,
            text,
            reason,
            request,
            has_fixed_cost: false,
            hides_limit: false,
            is_grpc_call: false,
            behind: &[],
            wait,
        }
    }

    /// Says if every request has the same cost at this limit. By default the cost is the request's
    /// own.
    pub(crate) fn fixed_cost(self, has_fixed_cost: bool) -> Self {
        Self { has_fixed_cost, ..self }
    }

    /// Says by which header fields the limit is described. If by none, the problem details do not
    /// describe it, either.
    pub(crate) fn described_by(self, style: HeaderStyle) -> Self {
        Self { hides_limit: style == HeaderStyle::None, ..self }
    }

    /// Makes the answer a gRPC status, though there is no request that asks for one.
    #[cfg(feature = "tonic")]
    pub(crate) fn by_grpc(self) -> Self {
        Self { is_grpc_call: true, ..self }
    }

    /// Adds the limits that the request would have met behind the refusing one, each with the
    /// verdict of a peek. The same request succeeds only when they admit it, too.
    pub(crate) fn with_behind(self, behind: &'a [LimitState<'a>]) -> Self {
        if behind.is_empty() {
            return self;
        }
        let longest = |own| behind.iter().map(LimitState::wait).fold(own, Duration::max);
        let wait = self.reason.wait().map(longest).filter(|wait| *wait != Duration::MAX);
        Self { behind, wait, ..self }
    }

    /// Returns the state of the limit that refused.
    pub(super) fn state(&self, style: HeaderStyle, reset: &ResetTime) -> LimitState<'_> {
        let state = match self.decision() {
            Some(decision) => LimitState::new(self.text, decision.verdict(), style, reset),
            None => LimitState::undecided(self.text, style),
        };
        state.fixed_cost(self.has_fixed_cost)
    }

    /// Returns `true` if the request can never pass, because of its own cost.
    pub(super) fn can_never_pass(&self) -> bool {
        let Reason::QuotaExceeded(decision) = self.reason else { return false };
        (decision.outcome() == Outcome::Never && !self.has_fixed_cost)
            || self.behind.iter().any(LimitState::is_too_small)
    }

    /// Returns `true` if the problem details say nothing of the limit that refuses.
    pub(super) fn hides_limit(&self) -> bool {
        self.hides_limit
    }

    /// Returns the policy that refused the request.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.policy
    }

    /// Returns the reason for the refusal.
    #[must_use]
    pub fn reason(&self) -> Reason<'_> {
        self.reason
    }

    /// Returns the decision that refused the request; `None` if no decision was made.
    #[must_use]
    pub fn decision(&self) -> Option<&Decision> {
        match self.reason {
            Reason::QuotaExceeded(decision) | Reason::Blocked(decision) => Some(decision),
            _ => None,
        }
    }

    /// Returns the request; `None` if the limit is on a function that is not a handler.
    #[must_use]
    pub fn request(&self) -> Option<&Parts> {
        self.request
    }

    /// Returns the status code that belongs to the reason.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.reason {
            Reason::QuotaExceeded(_) if self.can_never_pass() => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::QuotaExceeded(_) => StatusCode::TOO_MANY_REQUESTS,
            Reason::Blocked(_) => StatusCode::FORBIDDEN,
            Reason::Unavailable(_) | Reason::CannotWait => StatusCode::SERVICE_UNAVAILABLE,
            Reason::NoKey(error) if error.is_clients() => StatusCode::BAD_REQUEST,
            Reason::NoKey(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the time until the same request succeeds, if no other of its subjects comes before,
    /// exact to the microsecond. It takes account of all limits of the handler, but not of layers in
    /// front of it. `None` if waiting does not help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.wait
    }

    /// Returns [`retry_after`](Self::retry_after) in whole seconds, for `Retry-After` (RFC 9110
    /// §10.2.3). It is rounded up, so that a client that waits for this time is admitted. It is at
    /// least 1, so that no client retries at once. `None` if waiting does not help.
    ///
    /// The field that is sent is at most 2,147,483 (nearly 25 days), because many clients ask again
    /// at once if it is more. A layer that the response passes may raise the field.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        Some(whole_seconds(self.retry_after()?).max(1))
    }
}
