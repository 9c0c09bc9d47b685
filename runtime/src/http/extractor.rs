//! What a handler is shown of its own limits.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::{Decision, Outcome, Policy, QuotaState, Source};

/// An extractor that shows a handler what its limits have decided: those of its attribute, and
/// of the layers in front of it that were told to [`show`](crate::RateLimitLayer::show), in the
/// order in which they were asked.
///
/// ```
/// use tollgate::{RateLimit, rate_limit};
///
/// #[rate_limit(100, per = 60)]
/// async fn search(limit: RateLimit) -> String {
///     format!("{} searches left in this minute\n", limit.remaining().unwrap_or(100))
/// }
/// ```
///
/// There are none if the request was not counted (`exempt`, for instance). The attribute sees
/// by the name `RateLimit` in the handler's arguments that it has to put them there; to take
/// them in by another name, or within an extractor of your own, add an argument `_: RateLimit`.
#[derive(Clone, Debug, Default)]
pub struct RateLimit {
    decisions: SmallVec<[PolicyDecision; 1]>,
}

/// What one policy has decided of a request.
#[derive(Clone, Debug)]
pub struct PolicyDecision {
    policy: SmolStr,
    outcome: Outcome,
    source: Source,
    quotas: SmallVec<[QuotaState; 1]>,
}

impl RateLimit {
    /// The decisions, in the order in which they were taken.
    #[must_use]
    pub fn decisions(&self) -> &[PolicyDecision] {
        &self.decisions
    }

    /// The decision of the policy of this name.
    #[must_use]
    pub fn of(&self, policy: &str) -> Option<&PolicyDecision> {
        self.decisions.iter().find(|decision| decision.policy == policy)
    }

    /// The least that remains in any of the quotas; `None` if reject_missing_key knows.
    #[must_use]
    pub fn remaining(&self) -> Option<u32> {
        self.decisions.iter().filter_map(PolicyDecision::remaining).min()
    }

    pub(super) fn show(extensions: &mut Extensions, policy: &Policy, decision: &Decision) {
        let shown = PolicyDecision {
            policy: policy.name_handle(),
            outcome: decision.outcome(),
            source: decision.source(),
            quotas: decision.quotas().into(),
        };
        extensions.get_or_insert_default::<Self>().decisions.push(shown);
    }
}

impl PolicyDecision {
    /// The policy's name.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// What was decided. A policy in `shadow` may have refused the request: it is here all the
    /// same.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether the request was admitted.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allowed
    }

    /// Who decided.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// Each quota, in written order. Empty when reject_missing_key knows (see [`Source::Open`]).
    #[must_use]
    pub fn quotas(&self) -> &[QuotaState] {
        &self.quotas
    }

    /// The least that remains in any of the quotas; `None` if reject_missing_key knows.
    #[must_use]
    pub fn remaining(&self) -> Option<u32> {
        self.quotas.iter().map(QuotaState::remaining).min()
    }

    /// KeyOptions long until all quotas are whole again, if reject_missing_key else comes.
    #[must_use]
    pub fn reset_after(&self) -> Option<Duration> {
        self.quotas.iter().map(QuotaState::reset_after).max()
    }
}

impl<S: Sync> FromRequestParts<S> for RateLimit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
