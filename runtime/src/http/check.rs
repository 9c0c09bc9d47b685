//! The check of one request against one limit, for handlers and for layers.

use std::sync::Arc;

use axum::http::request::Parts;
use axum::response::Response;

use super::limit::HttpLimit;
use crate::global::with_current_limiter;
use crate::key::{KeyError, KeyOptions};
use crate::overrides::{EffectivePolicy, Overridden};
use crate::response::{HeaderStyle, HeaderValues, PolicyText, Reason, Refusal, RefusalContext};
use crate::verdict::Verdict;
use crate::{Blocked, Check, Decision, Limiter, Policy, Unavailable};

/// The outcome of the check of a request against a limit.
///
/// The argument `grant` of a check builds the `G` directly from the [`Granted`], because moving
/// that large value would cost about as much as the check.
pub(super) enum CheckOutcome<G> {
    /// The request is admitted.
    Granted(G),
    /// The request is admitted without being counted.
    Uncounted,
    /// The request is refused, with this response.
    Refused(Box<Response>),
}

/// The data of an admitted request that is needed to complete its response.
pub(super) struct Granted {
    headers: HeaderValues,
    /// The decision; `None` unless the checker had `keeps_decision`, which is rare.
    pub(super) decision: Option<Box<Decision>>,
    /// The policy with its override applied; `None` if it has no override.
    overridden: Option<Arc<Overridden>>,
}

impl Granted {
    /// Returns the policy that admitted the request.
    pub(super) fn policy<'a>(&'a self, limit: &'a HttpLimit) -> &'a Policy {
        self.overridden.as_ref().map_or_else(|| limit.policy(), |overridden| overridden.policy())
    }

    /// Adds the header fields to the response.
    pub(super) fn add_headers(&mut self, limit: &HttpLimit, response: &mut Response) {
        let headers = std::mem::replace(&mut self.headers, HeaderValues::NOTHING);
        headers.add_to(response.headers_mut(), text(limit, self.overridden.as_ref()));
    }
}

/// Returns the texts of the policy in effect, for header fields and refusals.
fn text<'a>(limit: &'a HttpLimit, overridden: Option<&'a Arc<Overridden>>) -> &'a PolicyText {
    match overridden {
        Some(overridden) => overridden.headers().text(overridden.policy()),
        None => limit.header_cache.text(limit.policy()),
    }
}

/// A request that counts against a limit.
#[derive(Clone, Copy)]
struct CountedRequest<'a> {
    policy: &'a EffectivePolicy<'a>,
    check: Check<'a>,
    parts: &'a Parts,
}

/// Checks requests against a limit.
#[derive(Clone, Copy)]
pub(super) struct Checker<'a> {
    pub(super) limit: &'a HttpLimit,
    pub(super) limiter: &'a Limiter,
    /// `true` if the decision is needed after the check, to show it to the handler or to refund it.
    pub(super) keeps_decision: bool,
}

impl Checker<'_> {
    /// Checks a request, and waits for the key and the backend where necessary.
    pub(super) async fn check<G>(
        &self,
        parts: &mut Parts,
        grant: impl Fn(Granted) -> G,
    ) -> CheckOutcome<G> {
        if self.limit.key.is_immediate()
            && let Some(outcome) = self.check_now(parts, &grant)
        {
            return outcome;
        }
        let policy = self.limiter.effective_policy(self.limit.policy());
        if !policy.is_enabled() || self.limit.is_exempt(parts, &self.limiter.http().address) {
            return CheckOutcome::Uncounted;
        }
        let subject = self.limit.key.subject(parts, self.key_options()).await;
        let subject = match subject {
            Ok(Some(subject)) => subject,
            Ok(None) => return CheckOutcome::Uncounted,
            Err(error) => return self.reject_missing_key(parts, &policy, error),
        };
        let policy = self.limiter.effective_policy_of_subject(policy, subject.as_str());
        if !policy.is_enabled() {
            return CheckOutcome::Uncounted;
        }
        let cost = self.limit.cost_of(parts);
        let check = Check::new(&policy, subject.as_str(), cost);
        let mut verdict = Verdict::open();
        let decided = self.limiter.decide(&check, &mut verdict).await;
        self.conclude(
            CountedRequest { policy: &policy, check, parts },
            decided,
            &mut verdict,
            grant,
        )
    }

    /// Checks a request without waiting. Returns `None` if the key or the backend has to be
    /// awaited.
    pub(super) fn check_now<G>(
        &self,
        parts: &Parts,
        grant: impl FnOnce(Granted) -> G,
    ) -> Option<CheckOutcome<G>> {
        let policy = self.limiter.effective_policy(self.limit.policy());
        if !policy.is_enabled() || self.limit.is_exempt(parts, &self.limiter.http().address) {
            return Some(CheckOutcome::Uncounted);
        }
        self.limit.key.with_subject_now(parts, self.key_options(), |subject| {
            let subject = match subject {
                Ok(Some(subject)) => subject,
                Ok(None) => return Some(CheckOutcome::Uncounted),
                Err(error) => return Some(self.reject_missing_key(parts, &policy, error)),
            };
            let policy = self.limiter.effective_policy_of_subject(policy, subject);
            if !policy.is_enabled() {
                return Some(CheckOutcome::Uncounted);
            }
            let check = Check::new(&policy, subject, self.limit.cost_of(parts));
            let mut verdict = Verdict::open();
            let decided = self.limiter.decide_now(&check, &mut verdict)?;
            let counted = CountedRequest { policy: &policy, check, parts };
            Some(self.conclude(counted, decided, &mut verdict, grant))
        })?
    }

    fn key_options(&self) -> KeyOptions<'_> {
        let options = self.limiter.http();
        let on_missing = self.limit.on_missing_key.unwrap_or(options.on_missing_key);
        KeyOptions { address: &options.address, on_missing }
    }

    fn reject_missing_key<G>(
        &self,
        parts: &Parts,
        policy: &EffectivePolicy<'_>,
        error: KeyError,
    ) -> CheckOutcome<G> {
        if policy.is_shadow() {
            return CheckOutcome::Uncounted;
        }
        self.refuse(parts, policy, Reason::NoKey(error))
    }

    /// Converts the limiter's result into the outcome of the check. The verdict is large, so it is
    /// moved only if a decision has to be made from it.
    fn conclude<G>(
        &self,
        counted: CountedRequest<'_>,
        decided: Result<(), Unavailable>,
        verdict: &mut Verdict,
        grant: impl FnOnce(Granted) -> G,
    ) -> CheckOutcome<G> {
        let CountedRequest { policy, check, parts } = counted;
        match decided {
            Ok(()) => {}
            Err(_) if policy.is_shadow() => return CheckOutcome::Uncounted,
            Err(error) => return self.refuse(parts, policy, Reason::Unavailable(&error)),
        }
        if verdict.is_allowed() {
            return CheckOutcome::Granted(grant(self.granted(counted, verdict)));
        }
        let decision = Decision::without_receipt(verdict.take());
        let blocked = Blocked { check, decision: &decision, request: Some(parts) };
        self.limit.notify_blocked(&blocked);
        self.limiter.notify_blocked(&blocked);
        if policy.is_shadow() {
            let decision = self.keeps_decision.then(|| Box::new(decision));
            let overridden = policy.overridden().cloned();
            let headers = HeaderValues::NOTHING;
            return CheckOutcome::Granted(grant(Granted { headers, decision, overridden }));
        }
        self.refuse(parts, policy, Reason::of(&decision))
    }

    fn refuse<G>(
        &self,
        parts: &Parts,
        policy: &EffectivePolicy<'_>,
        reason: Reason<'_>,
    ) -> CheckOutcome<G> {
        let context = RefusalContext {
            options: self.limiter.http(),
            headers: self.header_style(),
            function: self.limit.refusal_function(),
        };
        let text = text(self.limit, policy.overridden());
        let refusal = Refusal::new(policy, text, reason, Some(parts));
        CheckOutcome::Refused(Box::new(context.respond(&refusal)))
    }

    /// Prepares the data that completes the response of an admitted request. A limit in shadow mode
    /// adds no header fields, because it refuses no request.
    #[inline]
    fn granted(&self, counted: CountedRequest<'_>, verdict: &mut Verdict) -> Granted {
        let CountedRequest { policy, check, .. } = counted;
        let style = if policy.is_shadow() { HeaderStyle::None } else { self.header_style() };
        let headers = match style {
            HeaderStyle::None => HeaderValues::NOTHING,
            style => {
                let text = text(self.limit, policy.overridden());
                HeaderValues::new(text, Some(verdict), style, self.limiter.http().legacy_reset)
            }
        };
        let decision =
            self.keeps_decision.then(|| Box::new(Decision::charged(verdict.take(), &check)));
        Granted { headers, decision, overridden: policy.overridden().cloned() }
    }

    fn header_style(&self) -> HeaderStyle {
        self.limit.headers.unwrap_or(self.limiter.http().headers)
    }
}

/// Calls `function` with the request's own limiter, if a layer has provided one, or else with the
/// scoped or the global one.
pub(crate) fn with_limiter<T>(parts: &Parts, function: impl FnOnce(&Limiter) -> T) -> T {
    match parts.extensions.get::<Limiter>() {
        Some(limiter) => function(limiter),
        None => with_current_limiter(function),
    }
}
