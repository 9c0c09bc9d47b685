//! The check of one request against one limit, for handlers and for layers.

use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;

use super::counted::{Cost, Count};
use super::granted::{Granted, fields};
use super::limit::HttpLimit;
use super::refused::{RefusedRequest, Refusing};
use crate::global::with_current_limiter;
use crate::key::{KeyError, KeyOptions};
use crate::limiter::FoundPolicy;
use crate::operation::Operation;
use crate::overrides::{EffectivePolicy, FailedLookup, Overridden};
use crate::response::{HeaderValues, Reason};
use crate::subject::Subject;
use crate::verdict::Verdict;
use crate::{Blocked, Check, Decision, Limiter, Policy, Unavailable};

/// The outcome of the check of a request against a limit.
///
/// The argument `grant` of a check builds the `G` directly from the [`Granted`], because moving
/// that large value would cost about as much as the check. `R` is what the checker makes of a
/// refusal.
pub(super) enum CheckOutcome<G, R> {
    /// The request is admitted.
    Granted(G),
    /// The request is admitted without being counted.
    Uncounted,
    /// The request is refused.
    Refused(R),
}

impl<G> CheckOutcome<G, RefusedRequest> {
    /// Returns the grant, or `None` if the request was not counted. The error is the refusal.
    #[inline]
    pub(super) fn answered(self) -> Result<Option<G>, RefusedRequest> {
        match self {
            Self::Granted(granted) => Ok(Some(granted)),
            Self::Uncounted => Ok(None),
            Self::Refused(refused) => Err(refused),
        }
    }
}

/// The result of a check that does not wait.
pub(super) enum CheckNow<T> {
    /// The result is known.
    Done(T),
    /// The backend has to be awaited, for this check; `None` if that is not found out yet.
    Waits(Option<Box<PendingCheck>>),
}

/// A check for which the backend has to be awaited. The functions of the user have been called for
/// it, and are not called again.
pub(super) struct PendingCheck {
    /// The policy with the quota that was found for this request; `None` if it has none.
    planned: Option<Arc<Overridden>>,
    /// The reason why no such quota, or no override of the subject, was found, though there may be one.
    not_found: Option<FailedLookup>,
    /// The policy with its override applied; `None` if it has no override.
    overridden: Option<Arc<Overridden>>,
    subject: Subject,
    cost: Cost,
}

impl PendingCheck {
    fn new(policy: EffectivePolicy<'_>, subject: Subject, cost: Cost) -> Self {
        let overridden = policy.into_overridden();
        Self { planned: None, not_found: None, overridden, subject, cost }
    }

    /// Returns the policy in effect.
    pub(super) fn policy<'a>(&self, limit: &'a HttpLimit) -> EffectivePolicy<'a> {
        EffectivePolicy::new(limit.policy(), self.overridden.clone())
    }

    /// Returns the policy that is in effect if no override is: that of the request's quota, or the
    /// declared one.
    fn planned<'a>(&'a self, limit: &'a HttpLimit) -> &'a Policy {
        self.planned.as_ref().map_or(limit.policy(), |planned| planned.policy())
    }

    /// Returns the check by this policy.
    pub(super) fn check<'a>(&'a self, policy: &'a EffectivePolicy<'_>) -> Check<'a> {
        Check::new(policy, self.subject.as_str(), self.cost.units)
    }
}

/// A request that lacks the key of a limit.
struct WithoutKey<'a> {
    policy: EffectivePolicy<'a>,
    error: KeyError,
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
pub(super) struct Checker<'a, R> {
    pub(super) limit: &'a HttpLimit,
    pub(super) limiter: &'a Limiter,
    /// `true` if the decision is needed after the check, to show it to the handler or to refund it.
    pub(super) keeps_decision: bool,
    /// `true` if other limits may check the request after this one, so that they need the count.
    pub(super) records_count: bool,
    /// Makes what the outcome says of a refusal.
    pub(super) refuse: fn(Refusing<'_>) -> R,
}

impl<'a, R> Checker<'a, R> {
    /// Checks a request, and waits for the key and the backend where necessary.
    pub(super) async fn check<G>(
        &self,
        parts: &mut Parts,
        grant: impl Fn(Granted) -> G,
    ) -> CheckOutcome<G, R> {
        if self.limit.is_immediate() && !self.limiter.awaits_subjects() {
            return match self.check_now(parts, &grant) {
                Some(CheckNow::Done(outcome)) => outcome,
                Some(CheckNow::Waits(Some(pending))) => self.wait(parts, *pending, grant).await,
                // An immediate key is resolved now, so this does not happen.
                Some(CheckNow::Waits(None)) | None => CheckOutcome::Uncounted,
            };
        }
        match self.find(parts).await {
            Ok(Some(pending)) => self.wait(parts, pending, grant).await,
            Ok(None) => CheckOutcome::Uncounted,
            Err(without_key) => self.reject(parts, &without_key),
        }
    }

    /// Finds out what has to be checked, and waits for the key where necessary. Returns `None` if
    /// the request is not counted.
    ///
    /// The steps are those of [`check_now`](Self::check_now). They are not shared, because a shared
    /// function would have to return its results, which was measured to cost every request half a
    /// percent to two percent of the check.
    async fn find(&self, parts: &mut Parts) -> Result<Option<PendingCheck>, WithoutKey<'a>> {
        let policy = self.limiter.effective_policy(self.limit.policy());
        if !policy.is_enabled() || self.limit.is_exempt(parts, &self.limiter.http().address) {
            return Ok(None);
        }
        let subject = match self.limit.key.resolve(parts, self.key_options()).await {
            Ok(Some(subject)) => subject,
            Ok(None) => return Ok(None),
            Err(_) if policy.is_shadow() => return Ok(None),
            Err(error) => return Err(WithoutKey { policy, error }),
        };
        let subject = self.limiter.hidden(subject.as_str()).unwrap_or(subject);
        let (planned, not_found) = match self.plan(parts).await {
            Ok(planned) => (planned, None),
            Err(error) => (None, Some(error)),
        };
        let policy = match &planned {
            Some(planned) => self.limiter.effective_policy_of_plan(self.limit.policy(), planned),
            None => policy,
        };
        let found =
            self.limiter.find_policy_of_subject(policy, subject.as_str(), Some(&*parts)).await;
        let FoundPolicy { policy, failed } = found;
        let not_found = not_found.or(failed);
        if !policy.is_enabled() {
            return Ok(None);
        }
        let check = Check::new(&policy, subject.as_str(), self.limit.cost_of(parts));
        let cost = Cost::of(&check, self.limiter, &parts.extensions, self.records_count);
        Ok(cost.map(|cost| {
            let pending = PendingCheck::new(policy, subject, cost);
            PendingCheck { planned, not_found, ..pending }
        }))
    }

    /// Returns the policy with the quota that the limit's function finds for the request, if there is
    /// one.
    async fn plan(&self, parts: &Parts) -> Result<Option<Arc<Overridden>>, FailedLookup> {
        let Some(plans) = &self.limit.plans else { return Ok(None) };
        let quotas = plans.quotas(self.limit.policy(), parts).await?;
        Ok(quotas.map(|quotas| self.limiter.with_quotas(self.limit.policy(), quotas)))
    }

    /// Returns the outcome of a request that lacks the key.
    fn reject<G>(&self, parts: &Parts, without_key: &WithoutKey<'_>) -> CheckOutcome<G, R> {
        let WithoutKey { policy, error } = without_key;
        CheckOutcome::Refused((self.refuse)(self.refusing(parts, policy, Reason::NoKey(*error))))
    }

    /// Waits for the backend. If the request's quota could not be found, the policy's `on_error`
    /// decides.
    pub(super) async fn wait<G>(
        &self,
        parts: &Parts,
        mut pending: PendingCheck,
        grant: impl FnOnce(Granted) -> G,
    ) -> CheckOutcome<G, R> {
        let not_found = pending.not_found.take();
        let policy = pending.policy(self.limit);
        let without_permit = pending.cost.without_permit(&policy);
        if let (Some(max_wait), None, None) = (self.limit.wait, &not_found, &without_permit) {
            return self.wait_in_line(parts, pending, max_wait, grant).await;
        }
        let check = pending.check(&policy);
        let check = check.with_policy(without_permit.as_ref().unwrap_or(&policy));
        let mut verdict = Verdict::open();
        let decided = match not_found {
            Some(failed) => {
                let operation = Operation::charge(check);
                self.limiter.decide_unfound(&operation, failed, &mut verdict).await
            }
            None => self.limiter.decide(&check, &mut verdict).await,
        };
        let counted = CountedRequest { policy: &policy, check, count: pending.cost.count, parts };
        self.conclude(counted, decided, &mut Decision::without_receipt(verdict), grant)
    }

    /// Waits in the queue until the limit admits the request, for up to `max_wait`.
    async fn wait_in_line<G>(
        &self,
        parts: &Parts,
        pending: PendingCheck,
        max_wait: Duration,
        grant: impl FnOnce(Granted) -> G,
    ) -> CheckOutcome<G, R> {
        let planned = pending.planned(self.limit);
        let declared = Check::new(planned, pending.subject.as_str(), pending.cost.units);
        let (policy, waited) = self.limiter.charge_in_line(&declared, max_wait, Some(parts)).await;
        if !policy.is_enabled() {
            return CheckOutcome::Uncounted;
        }
        let check = declared.with_policy(&policy);
        let counted = CountedRequest { policy: &policy, check, count: pending.cost.count, parts };
        let mut decision = match waited {
            Ok(decision) => decision,
            Err(error) => {
                return self.conclude(counted, Err(error), &mut Decision::open(), grant);
            }
        };
        if !decision.is_allowed() {
            return self.conclude(counted, Ok(()), &mut decision, grant);
        }
        let mut granted = self.granted(counted, decision.verdict());
        granted.permit = decision.take_permit();
        // The decision has the policy by which the charge was made, which is another one for a
        // leaky bucket, and is refunded by that.
        granted.decision = self.keeps_decision.then(|| Box::new(decision));
        CheckOutcome::Granted(grant(granted))
    }

    /// Checks a request without waiting. Returns `None` if the key has to be awaited, or the override of
    /// the subject.
    pub(super) fn check_now<G>(
        &self,
        parts: &Parts,
        grant: impl FnOnce(Granted) -> G,
    ) -> Option<CheckNow<CheckOutcome<G, R>>> {
        if self.limiter.awaits_subjects() {
            return None;
        }
        let policy = self.limiter.effective_policy(self.limit.policy());
        if !policy.is_enabled() || self.limit.is_exempt(parts, &self.limiter.http().address) {
            return Some(CheckNow::Done(CheckOutcome::Uncounted));
        }
        self.limit.key.with_subject_now(parts, self.key_options(), |subject| {
            let subject = match subject {
                Ok(Some(subject)) => subject,
                Ok(None) => return CheckNow::Done(CheckOutcome::Uncounted),
                Err(_) if policy.is_shadow() => return CheckNow::Done(CheckOutcome::Uncounted),
                Err(error) => {
                    return CheckNow::Done(self.reject(parts, &WithoutKey { policy, error }));
                }
            };
            let hidden = self.limiter.hidden(subject);
            let subject = hidden.as_ref().map_or(subject, Subject::as_str);
            // Overrides that have to be awaited were told apart above.
            let (Ok(policy) | Err(policy)) =
                self.limiter.effective_policy_of_subject(policy, subject);
            if !policy.is_enabled() {
                return CheckNow::Done(CheckOutcome::Uncounted);
            }
            let check = Check::new(&policy, subject, self.limit.cost_of(parts));
            let cost = Cost::of(&check, self.limiter, &parts.extensions, self.records_count);
            let Some(cost) = cost else { return CheckNow::Done(CheckOutcome::Uncounted) };
            let without_permit = cost.without_permit(&policy);
            let in_effect = without_permit.as_ref().unwrap_or(&policy);
            let check = check.with_cost(cost.units).with_policy(in_effect);
            let mut decision = Decision::open();
            let Some(decided) = self.limiter.decide_now(&check, decision.verdict_mut()) else {
                let pending = PendingCheck::new(policy, Subject::plain(subject), cost);
                return CheckNow::Waits(Some(Box::new(pending)));
            };
            let counted = CountedRequest { policy: &policy, check, count: cost.count, parts };
            CheckNow::Done(self.conclude(counted, decided, &mut decision, grant))
        })
    }

    /// Finds out what would have been checked behind a limit that has refused the request. Returns
    /// `None` if this limit would not refuse it.
    pub(super) async fn find_behind(&self, parts: &mut Parts) -> Option<PendingCheck> {
        let pending = self.find(parts).await.ok()??;
        (!pending.policy(self.limit).is_shadow()).then_some(pending)
    }

    fn key_options(&self) -> KeyOptions<'_> {
        let options = self.limiter.http();
        let on_missing = self.limit.on_missing_key.unwrap_or(options.on_missing_key);
        KeyOptions { address: &options.address, hash: self.limiter.subject_hash(), on_missing }
    }

    /// Converts the limiter's result into the outcome of the check. The decision is large, so it is
    /// moved only if it has to be kept.
    fn conclude<G>(
        &self,
        counted: CountedRequest<'_>,
        decided: Result<(), Unavailable>,
        decision: &mut Decision,
        grant: impl FnOnce(Granted) -> G,
    ) -> CheckOutcome<G, R> {
        let CountedRequest { policy, check, count, parts } = counted;
        match decided {
            Ok(()) => {}
            Err(_) if policy.is_shadow() => return CheckOutcome::Uncounted,
            Err(error) => {
                let refused =
                    (self.refuse)(self.refusing(parts, policy, Reason::Unavailable(&error)));
                return CheckOutcome::Refused(refused);
            }
        }
        if decision.is_allowed() {
            let mut granted = self.granted(counted, decision.verdict());
            if self.keeps_decision {
                self.limiter.complete(decision, &check);
                granted.permit = decision.take_permit();
                granted.decision = Some(Box::new(decision.take()));
            } else {
                granted.permit = self.limiter.permit_of(&check, decision.verdict());
            }
            return CheckOutcome::Granted(grant(granted));
        }
        let blocked = Blocked { check, decision, request: Some(parts) };
        self.limit.notify_blocked(&blocked);
        self.limiter.notify_blocked(&blocked);
        if policy.is_shadow() {
            let decision = self.keeps_decision.then(|| Box::new(decision.take()));
            let overridden = policy.overridden().cloned();
            let headers = HeaderValues::NOTHING;
            let permit = None;
            let granted =
                Granted { headers, decision, overridden, permit, usage: None, count: None };
            return CheckOutcome::Granted(grant(granted));
        }
        let counted = count.filter(|count| count.is_again).map(|count| count.id);
        let refusing = self.refusing(parts, policy, Reason::of(decision));
        CheckOutcome::Refused((self.refuse)(Refusing { counted, ..refusing }))
    }

    fn refusing<'r>(
        &'r self,
        parts: &'r Parts,
        policy: &'r EffectivePolicy<'r>,
        reason: Reason<'r>,
    ) -> Refusing<'r> {
        Refusing { limit: self.limit, limiter: self.limiter, parts, policy, reason, counted: None }
    }

    /// Prepares the data that completes the response of an admitted request, without its decision and
    /// its permit.
    #[inline]
    fn granted(&self, counted: CountedRequest<'_>, verdict: &Verdict) -> Granted {
        let CountedRequest { policy, count, .. } = counted;
        let headers = fields(self.limit, self.limiter, policy.is_shadow(), verdict);
        let overridden = policy.overridden().cloned();
        Granted { headers, decision: None, overridden, permit: None, usage: None, count }
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
