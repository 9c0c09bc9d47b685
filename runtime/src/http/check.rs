//! The check of one request against one limit, for handlers and for layers.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::http::Extensions;
use axum::http::request::Parts;
use axum::response::Response;

use super::counted::{self, Cost, Count};
use super::limit::HttpLimit;
use super::refused_body;
use crate::global::with_current_limiter;
use crate::key::{KeyError, KeyOptions};
use crate::overrides::{EffectivePolicy, Overridden};
use crate::response::{
    HeaderStyle, HeaderValues, PolicyText, Reason, Refusal, RefusalContext, RefusedBody,
};
use crate::subject::Subject;
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
    /// The request is refused.
    Refused(RefusedRequest),
}

/// The result of a check that does not wait.
pub(super) enum CheckNow<G> {
    /// The outcome is known.
    Done(CheckOutcome<G>),
    /// The backend has to be awaited, for this check.
    Waits(Box<PendingCheck>),
}

/// A check for which the backend has to be awaited. The functions of the user have been called for
/// it, and are not called again.
pub(super) struct PendingCheck {
    /// The policy with its override applied; `None` if it has no override.
    overridden: Option<Arc<Overridden>>,
    subject: Subject,
    cost: Cost,
}

/// The refusal of a request.
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

/// The data of an admitted request that is needed to complete its response.
pub(super) struct Granted {
    headers: HeaderValues,
    /// The decision; `None` unless the checker had `keeps_decision`, which is rare.
    pub(super) decision: Option<Box<Decision>>,
    /// The policy with its override applied; `None` if it has no override.
    overridden: Option<Arc<Overridden>>,
    /// The count of the request, for limits behind this one; `None` if it need not be recorded.
    count: Option<Count>,
}

impl Granted {
    /// Returns the policy that admitted the request.
    pub(super) fn policy<'a>(&'a self, limit: &'a HttpLimit) -> &'a Policy {
        self.overridden.as_ref().map_or_else(|| limit.policy(), |overridden| overridden.policy())
    }

    /// Adds the header fields to the response.
    pub(super) fn add_headers(&mut self, limit: &HttpLimit, response: &mut Response) {
        if let Some(count) = self.count {
            if counted::is_described(response, count.id) {
                return;
            }
            if count.is_again {
                counted::set_described(response, count.id);
            }
        }
        let headers = std::mem::replace(&mut self.headers, HeaderValues::NOTHING);
        headers.add_to(response.headers_mut(), text(limit, self.overridden.as_ref()));
    }

    /// Replaces the header fields by those of a later verdict.
    pub(super) fn describe(&mut self, limit: &HttpLimit, limiter: &Limiter, verdict: &Verdict) {
        let is_shadow = self.policy(limit).is_shadow();
        self.headers = fields(limit, limiter, (is_shadow, self.overridden.as_ref()), verdict);
    }

    /// Records the count among the request's extensions, for the limits behind this one.
    pub(super) fn record_count(&self, extensions: &mut Extensions) {
        if let Some(count) = self.count {
            count.record(extensions);
        }
    }
}

/// Returns the header fields of an admitted request. A limit in shadow mode adds none, because it
/// refuses no request.
#[inline]
fn fields(
    limit: &HttpLimit,
    limiter: &Limiter,
    (is_shadow, overridden): (bool, Option<&Arc<Overridden>>),
    verdict: &Verdict,
) -> HeaderValues {
    let style = if is_shadow { HeaderStyle::None } else { header_style(limit, limiter) };
    match style {
        HeaderStyle::None => HeaderValues::NOTHING,
        style => {
            let reset = limiter.http().legacy_reset;
            HeaderValues::new(text(limit, overridden), Some(verdict), style, reset)
        }
    }
}

fn header_style(limit: &HttpLimit, limiter: &Limiter) -> HeaderStyle {
    limit.headers.unwrap_or(limiter.http().headers)
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
    count: Option<Count>,
    parts: &'a Parts,
}

/// Checks requests against a limit.
#[derive(Clone, Copy)]
pub(super) struct Checker<'a> {
    pub(super) limit: &'a HttpLimit,
    pub(super) limiter: &'a Limiter,
    /// `true` if the decision is needed after the check, to show it to the handler or to refund it.
    pub(super) keeps_decision: bool,
    /// `true` if other limits may check the request after this one, so that they need the count.
    pub(super) records_count: bool,
}

impl Checker<'_> {
    /// Checks a request, and waits for the key and the backend where necessary.
    pub(super) async fn check<G>(
        &self,
        parts: &mut Parts,
        grant: impl Fn(Granted) -> G,
    ) -> CheckOutcome<G> {
        if self.limit.key.is_immediate() {
            return match self.check_now(parts, &grant) {
                Some(CheckNow::Done(outcome)) => outcome,
                Some(CheckNow::Waits(pending)) => self.wait(parts, pending, grant).await,
                // An immediate key is resolved now, so this does not happen.
                None => CheckOutcome::Uncounted,
            };
        }
        let policy = self.limiter.effective_policy(self.limit.policy());
        if !policy.is_enabled() || self.limit.is_exempt(parts) {
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
        let check = Check::new(&policy, subject.as_str(), self.limit.cost_of(parts));
        let Some(cost) = self.cost(parts, &check) else { return CheckOutcome::Uncounted };
        let overridden = policy.into_overridden();
        self.wait(parts, Box::new(PendingCheck { overridden, subject, cost }), grant).await
    }

    /// Waits for the backend.
    pub(super) async fn wait<G>(
        &self,
        parts: &Parts,
        pending: Box<PendingCheck>,
        grant: impl FnOnce(Granted) -> G,
    ) -> CheckOutcome<G> {
        let PendingCheck { overridden, subject, cost } = *pending;
        let policy = EffectivePolicy::new(self.limit.policy(), overridden);
        let check = Check::new(&policy, subject.as_str(), cost.units);
        let mut verdict = Verdict::open();
        let decided = self.limiter.decide(&check, &mut verdict).await;
        let counted = CountedRequest { policy: &policy, check, count: cost.count, parts };
        self.conclude(counted, decided, &mut verdict, grant)
    }

    /// Checks a request without waiting. Returns `None` if the key has to be awaited.
    pub(super) fn check_now<G>(
        &self,
        parts: &Parts,
        grant: impl FnOnce(Granted) -> G,
    ) -> Option<CheckNow<G>> {
        let policy = self.limiter.effective_policy(self.limit.policy());
        if !policy.is_enabled() || self.limit.is_exempt(parts) {
            return Some(CheckNow::Done(CheckOutcome::Uncounted));
        }
        self.limit.key.with_subject_now(parts, self.key_options(), |subject| {
            let subject = match subject {
                Ok(Some(subject)) => subject,
                Ok(None) => return CheckNow::Done(CheckOutcome::Uncounted),
                Err(error) => {
                    return CheckNow::Done(self.reject_missing_key(parts, &policy, error));
                }
            };
            let policy = self.limiter.effective_policy_of_subject(policy, subject);
            if !policy.is_enabled() {
                return CheckNow::Done(CheckOutcome::Uncounted);
            }
            let check = Check::new(&policy, subject, self.limit.cost_of(parts));
            let Some(cost) = self.cost(parts, &check) else {
                return CheckNow::Done(CheckOutcome::Uncounted);
            };
            let check = check.with_cost(cost.units);
            let mut verdict = Verdict::open();
            let Some(decided) = self.limiter.decide_now(&check, &mut verdict) else {
                let (overridden, subject) = (policy.into_overridden(), Subject::plain(subject));
                return CheckNow::Waits(Box::new(PendingCheck { overridden, subject, cost }));
            };
            let counted = CountedRequest { policy: &policy, check, count: cost.count, parts };
            CheckNow::Done(self.conclude(counted, decided, &mut verdict, grant))
        })
    }

    /// Returns the cost of a check, less what other limits have charged for the request. Returns
    /// `None` if they have charged all of it.
    #[inline]
    fn cost(&self, parts: &Parts, check: &Check<'_>) -> Option<Cost> {
        if !counted::has_layers() && !self.records_count {
            return Some(Cost::full(check));
        }
        Cost::of(check, self.limiter, &parts.extensions, self.records_count)
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
        let CountedRequest { policy, check, count, parts } = counted;
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
            let granted = Granted { headers, decision, overridden, count: None };
            return CheckOutcome::Granted(grant(granted));
        }
        let mut outcome = self.refuse(parts, policy, Reason::of(&decision));
        if let (CheckOutcome::Refused(refused), Some(Count { id, is_again: true, .. })) =
            (&mut outcome, count)
        {
            counted::set_described(&mut refused.response, id);
        }
        outcome
    }

    fn refuse<G>(
        &self,
        parts: &Parts,
        policy: &EffectivePolicy<'_>,
        reason: Reason<'_>,
    ) -> CheckOutcome<G> {
        let context = RefusalContext {
            options: self.limiter.http(),
            headers: header_style(self.limit, self.limiter),
            function: self.limit.refusal_function(),
        };
        let text = text(self.limit, policy.overridden());
        let refusal = Refusal::new(policy, text, reason, Some(parts));
        let response = Box::new(context.respond(&refusal));
        let body_limits = self.limiter.http().refused_body;
        CheckOutcome::Refused(RefusedRequest { response, body_limits })
    }

    /// Prepares the data that completes the response of an admitted request.
    #[inline]
    fn granted(&self, counted: CountedRequest<'_>, verdict: &mut Verdict) -> Granted {
        let CountedRequest { policy, check, count, .. } = counted;
        let shown = (policy.is_shadow(), policy.overridden());
        let headers = fields(self.limit, self.limiter, shown, verdict);
        let decision =
            self.keeps_decision.then(|| Box::new(Decision::charged(verdict.take(), &check)));
        Granted { headers, decision, overridden: policy.overridden().cloned(), count }
    }
}

/// Calls `function` with the request's own limiter, if a layer has provided one, or else with the
/// scoped or the global one.
pub(super) fn with_limiter<T>(parts: &Parts, function: impl FnOnce(&Limiter) -> T) -> T {
    match parts.extensions.get::<Limiter>() {
        Some(limiter) => function(limiter),
        None => with_current_limiter(function),
    }
}
