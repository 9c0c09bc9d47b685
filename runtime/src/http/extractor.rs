//! The extractor that shows a handler the decisions of its limits.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::usage::Usage;
use crate::{Decision, Outcome, Policy, QuotaState, Source};

/// An extractor of the decisions of a handler's limits: those of its attribute, and those of the
/// layers in front of it with [`show`](crate::RateLimitLayer::show), in the order in which they
/// were checked.
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
/// It is empty if the request was not counted, for instance because it is exempt. The attribute
/// provides the decisions if an argument of the handler has this type, even under another name, in
/// a tuple, in an `Option` or in a `Result`. To extract them within an extractor of your own, add
/// an argument `_: RateLimit` to the handler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    decisions: SmallVec<[PolicyDecision; 1]>,
}

/// The decision of one policy about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDecision {
    policy: SmolStr,
    outcome: Outcome,
    source: Source,
    quotas: SmallVec<[QuotaState; 1]>,
}

impl RateLimit {
    /// Returns the decisions, in the order in which they were made.
    #[must_use]
    pub fn decisions(&self) -> &[PolicyDecision] {
        &self.decisions
    }

    /// Returns the decision of the policy with this name; `None` if there is none.
    #[must_use]
    pub fn of(&self, policy: &str) -> Option<&PolicyDecision> {
        self.decisions.iter().find(|decision| decision.policy == policy)
    }

    /// Returns the remaining units of the quota that has the fewest left; `None` if the state of
    /// the quotas is unknown.
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
    /// Returns the policy's name.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the outcome. If the policy is in shadow mode, this can be a refusal although the
    /// request goes on.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Returns `true` if the policy admitted the request.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allowed
    }

    /// Returns the part of the limiter that made the decision.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// Returns the state of each quota, in order of declaration. The list is empty if the state is
    /// unknown (see [`Source::Open`]).
    #[must_use]
    pub fn quotas(&self) -> &[QuotaState] {
        &self.quotas
    }

    /// Returns the remaining units of the quota that has the fewest left; `None` if the state of
    /// the quotas is unknown.
    #[must_use]
    pub fn remaining(&self) -> Option<u32> {
        self.quotas.iter().map(QuotaState::remaining).min()
    }

    /// Returns the time until all quotas are fully replenished, if no further request comes; `None`
    /// if the state is unknown.
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

/// The extractors among a handler's arguments for which its limits have to do something.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub(super) decisions: bool,
    pub(super) usage: bool,
}

impl Shown {
    /// None of the extractors.
    pub const NOTHING: Self = Self { decisions: false, usage: false };
    const DECISIONS: Self = Self { decisions: true, usage: false };
    const USAGE: Self = Self { decisions: false, usage: true };

    /// Returns the extractors of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { decisions: self.decisions || other.decisions, usage: self.usage || other.usage }
    }

    /// Returns `true` if there is a [`Usage`].
    #[must_use]
    pub const fn has_usage(self) -> bool {
        self.usage
    }
}

/// Carries the type of a handler's argument. Generated code reads its constant `SHOWN`, which tells
/// if the type is [`RateLimit`] or [`Usage`].
#[derive(Debug)]
pub struct Argument<T>(PhantomData<T>);

/// Provides the constant `SHOWN` for all other types. An inherent constant of the same name takes
/// precedence over this one.
pub trait IsNoExtractor {
    /// The argument is none of the extractors.
    const SHOWN: Shown = Shown::NOTHING;
}

impl<T> IsNoExtractor for Argument<T> {}

impl Argument<RateLimit> {
    /// The argument is the extractor of decisions.
    pub const SHOWN: Shown = Shown::DECISIONS;
}

impl Argument<Option<RateLimit>> {
    /// The argument is the extractor of decisions.
    pub const SHOWN: Shown = Shown::DECISIONS;
}

impl<E> Argument<Result<RateLimit, E>> {
    /// The argument is the extractor of decisions.
    pub const SHOWN: Shown = Shown::DECISIONS;
}

impl Argument<Usage> {
    /// The argument is the extractor with which the handler counts.
    pub const SHOWN: Shown = Shown::USAGE;
}

impl Argument<Option<Usage>> {
    /// The argument is the extractor with which the handler counts.
    pub const SHOWN: Shown = Shown::USAGE;
}

impl<E> Argument<Result<Usage, E>> {
    /// The argument is the extractor with which the handler counts.
    pub const SHOWN: Shown = Shown::USAGE;
}
