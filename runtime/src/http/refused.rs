//! The result of a check that has refused a request.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::http::request::Parts;
use axum::response::Response;

use super::counted::{self, CountId};
use super::granted::{header_style, text};
use super::limit::HttpLimit;
use super::refused_body;
use crate::key::KeyError;
use crate::overrides::{EffectivePolicy, Overridden};
use crate::response::{LimitState, Reason, Refusal, RefusalContext, RefusedBody};
use crate::verdict::Verdict;
use crate::{Decision, Limiter, Outcome, Source, Unavailable};

/// A refusal whose response is not made yet.
pub(super) struct Refused {
    pub(super) cause: Cause,
    /// The policy with its override applied; `None` if it has no override.
    pub(super) overridden: Option<Arc<Overridden>>,
    /// The identity under which an earlier limit has counted the request; `None` if none has.
    pub(super) counted: Option<CountId>,
}

/// The cause of a refusal.
#[expect(clippy::large_enum_variant, reason = "a refusal is moved once or twice, and not stored")]
pub(super) enum Cause {
    Decision(Decision),
    Unavailable(Unavailable),
    NoKey(KeyError),
}

impl Cause {
    fn reason(&self) -> Reason<'_> {
        match self {
            Self::Decision(decision) => Reason::of(decision),
            Self::Unavailable(error) => Reason::Unavailable(error),
            Self::NoKey(error) => Reason::NoKey(*error),
        }
    }
}

/// A limit that the request would have met behind the refusing one, as a peek has found it.
pub(super) struct LimitBehind<'a> {
    pub(super) limit: &'a HttpLimit,
    /// The policy with its override applied; `None` if it has no override.
    pub(super) overridden: Option<Arc<Overridden>>,
    pub(super) verdict: Verdict,
}

impl Refused {
    /// Returns the part of the limiter that has refused the request for a time; `None` if waiting
    /// does not help, or if nothing was decided.
    pub(super) fn refused_for_a_time(&self) -> Option<Source> {
        match &self.cause {
            Cause::Decision(decision) => match decision.outcome() {
                Outcome::Refused { .. } => Some(decision.source()),
                _ => None,
            },
            Cause::Unavailable(_) | Cause::NoKey(_) => None,
        }
    }

    /// Makes the response.
    pub(super) fn into_request(
        self,
        limit: &HttpLimit,
        limiter: &Limiter,
        parts: &Parts,
        behind: &[LimitBehind<'_>],
    ) -> RefusedRequest {
        let policy = EffectivePolicy::new(limit.policy(), self.overridden);
        let states: Vec<LimitState<'_>> = behind
            .iter()
            .map(|LimitBehind { limit, overridden, verdict }| {
                let text = text(limit, overridden.as_ref());
                LimitState::new(
                    text,
                    verdict,
                    header_style(limit, limiter),
                    &limiter.http().legacy_reset,
                )
                .fixed_cost(limit.has_fixed_cost())
            })
            .collect();
        let context = RefusalContext {
            options: limiter.http(),
            headers: header_style(limit, limiter),
            function: limit.refusal_function(),
        };
        let text = text(limit, policy.overridden());
        let refusal = Refusal::new(&policy, text, self.cause.reason(), Some(parts))
            .fixed_cost(limit.has_fixed_cost())
            .with_behind(&states);
        let mut response = Box::new(context.respond(&refusal));
        if let Some(id) = self.counted {
            counted::set_described(&mut response, id);
        }
        RefusedRequest { response, body_limits: limiter.http().refused_body }
    }
}

/// A refused request, whose body may still be on its way.
pub(super) struct RefusedRequest {
    response: Box<Response>,
    body_limits: RefusedBody,
}

impl RefusedRequest {
    /// Returns the response. The rest of the request's body is read and discarded after it.
    pub(super) fn respond<B>(self, parts: &Parts, body: B) -> Box<Response>
    where
        B: HttpBody + Send + 'static,
    {
        let Self { mut response, body_limits } = self;
        refused_body::discard_after(parts, body, body_limits, &mut response);
        response
    }
}
