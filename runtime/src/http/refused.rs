//! The result of a check that has refused a request.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::http::request::Parts;
use axum::response::Response;

use super::counted::{self, CountId};
use super::granted::{header_style, text};
use super::limit::HttpLimit;
use super::refused_body;
use crate::overrides::{EffectivePolicy, Overridden};
use crate::response::{LimitState, Reason, Refusal, RefusalContext, RefusedBody};
use crate::verdict::Verdict;
use crate::{Decision, Limiter, Source};

/// A refusal: the policy that refuses a request, and why.
#[derive(Clone, Copy)]
pub(super) struct Refusing<'a> {
    pub(super) limit: &'a HttpLimit,
    pub(super) limiter: &'a Limiter,
    pub(super) parts: &'a Parts,
    pub(super) policy: &'a EffectivePolicy<'a>,
    pub(super) reason: Reason<'a>,
    /// The identity under which an earlier limit has counted the request; `None` if none has.
    pub(super) counted: Option<CountId>,
}

/// A limit that the request would have met behind the refusing one, as a peek has found it.
pub(super) struct LimitBehind<'a> {
    pub(super) limit: &'a HttpLimit,
    /// The policy with its override applied; `None` if it has no override.
    pub(super) overridden: Option<Arc<Overridden>>,
    pub(super) verdict: Verdict,
}

impl Refusing<'_> {
    /// Makes the response.
    pub(super) fn respond(self) -> RefusedRequest {
        self.respond_by(&[])
    }

    /// Makes the response, with an account of the limits behind the refusing one.
    fn respond_with(self, behind: &[LimitBehind<'_>]) -> RefusedRequest {
        let limiter = self.limiter;
        let states: Vec<LimitState<'_>> = behind
            .iter()
            .map(|LimitBehind { limit, overridden, verdict }| {
                let (text, style) =
                    (text(limit, overridden.as_ref()), header_style(limit, limiter));
                LimitState::new(text, verdict, style, &limiter.http().legacy_reset)
                    .fixed_cost(limit.has_fixed_cost())
            })
            .collect();
        self.respond_by(&states)
    }

    fn respond_by(self, behind: &[LimitState<'_>]) -> RefusedRequest {
        let Self { limit, limiter, parts, policy, reason, counted } = self;
        let options = limiter.http();
        let context = RefusalContext {
            options,
            headers: header_style(limit, limiter),
            function: limit.refusal_function(),
            passes_limits: counted::has_layers(),
        };
        let text = text(limit, policy.overridden());
        let refusal = Refusal::new(policy, text, reason, Some(parts))
            .fixed_cost(limit.has_fixed_cost())
            .described_by(context.headers)
            .with_behind(behind);
        let mut response = Box::new(context.respond(&refusal));
        if let Some(id) = counted {
            counted::set_described(&mut response, id);
        }
        RefusedRequest { response, body_limits: options.refused_body }
    }
}

/// The refusal of a limit that has other limits behind it.
pub(super) enum FirstRefusal {
    /// The response is made, because the other limits do not matter.
    Responded(RefusedRequest),
    /// The request is refused for a time, and the response is made when the others are known.
    Deferred(Box<DeferredRefusal>),
}

/// A refusal for a time whose response is made later.
pub(super) struct DeferredRefusal {
    decision: Decision,
    /// The policy with its override applied; `None` if it has no override.
    overridden: Option<Arc<Overridden>>,
    counted: Option<CountId>,
}

impl FirstRefusal {
    /// Defers the response if the request is refused for a time.
    pub(super) fn of(refusing: Refusing<'_>) -> Self {
        let decision = match refusing.reason {
            Reason::QuotaExceeded(decision) if decision.retry_after().is_some() => decision,
            _ => return Self::Responded(refusing.respond()),
        };
        let overridden = refusing.policy.overridden().cloned();
        let decision = Decision::without_receipt(decision.verdict().clone());
        let counted = refusing.counted;
        Self::Deferred(Box::new(DeferredRefusal { decision, overridden, counted }))
    }
}

impl DeferredRefusal {
    /// Returns the part of the limiter that has refused the request.
    pub(super) fn source(&self) -> Source {
        self.decision.source()
    }

    /// Makes the response.
    pub(super) fn respond(
        &self,
        limit: &HttpLimit,
        limiter: &Limiter,
        parts: &Parts,
        behind: &[LimitBehind<'_>],
    ) -> RefusedRequest {
        let policy = EffectivePolicy::new(limit.policy(), self.overridden.clone());
        let (policy, reason, counted) = (&policy, Reason::of(&self.decision), self.counted);
        Refusing { limit, limiter, parts, policy, reason, counted }.respond_with(behind)
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
