//! Asking about one request, for whoever stands in front of it: a handler's guard or a layer.

use std::sync::Arc;

use axum::http::request::Parts;
use axum::response::Response;

use super::fields::{Fields, Texts, Written};
use super::options::{HeaderStyle, OnMissingKey};
use super::refusal::{Answering, Reason, Refusal};
use crate::key::{How, Key, KeyError};
use crate::overrides::{Current, Overridden};
use crate::{Blocked, Check, Decision, Limiter, Policy, Unavailable, Verdict};

/// What limits a request: a policy, and what was said of it.
pub(super) trait Limiting: Send + Sync {
    fn policy(&self) -> &Policy;
    fn key(&self) -> &Key;
    fn cost(&self, parts: &Parts) -> u32;
    fn exempts(&self, parts: &Parts) -> bool;
    fn on_blocked(&self, blocked: &Blocked<'_>);
    fn headers(&self) -> Option<HeaderStyle>;
    fn on_missing_key(&self) -> Option<OnMissingKey>;
    fn fields(&self) -> &Fields;
    /// The policy's own answer, if it has one.
    fn answer(&self) -> Option<&dyn Fn(&Refusal<'_>) -> Response>;
}

/// What came of it; `G` is what is made of a [`Granted`] where it arises, for it is large.
pub(super) enum Asked<G> {
    /// It may go on.
    Granted(G),
    /// It may go on, and is not counted.
    Uncounted,
    /// It may not.
    Refused(Box<Response>),
}

/// What is left of a decision that lets a request through.
pub(super) struct Granted {
    written: Written,
    /// If it was asked to be kept, which is rare.
    pub(super) decision: Option<Box<Decision>>,
    /// What overrides had made of the policy, if they had.
    overridden: Option<Arc<Overridden>>,
}

impl Granted {
    /// The policy that let it through.
    pub(super) fn policy<'a>(&'a self, limit: &'a impl Limiting) -> &'a Policy {
        self.overridden.as_ref().map_or_else(|| limit.policy(), |overridden| overridden.policy())
    }

    /// Adds the fields to the response.
    pub(super) fn add_fields(&mut self, limit: &impl Limiting, response: &mut Response) {
        let written = std::mem::replace(&mut self.written, Written::NOTHING);
        texts(limit, self.overridden.as_ref()).add(response.headers_mut(), written);
    }
}

/// The policy in the words of its fields and its refusals.
fn texts<'a>(limit: &'a impl Limiting, overridden: Option<&'a Arc<Overridden>>) -> &'a Texts {
    match overridden {
        Some(overridden) => overridden.fields().texts(overridden.policy()),
        None => limit.fields().texts(limit.policy()),
    }
}

/// Asks; `keep` is whether the decision is needed afterwards.
pub(super) async fn ask<G>(
    limit: &impl Limiting,
    limiter: &Limiter,
    parts: &mut Parts,
    keep: bool,
    grant: impl Fn(Granted) -> G,
) -> Asked<G> {
    if limit.key().is_immediate()
        && let Some(asked) = ask_now(limit, limiter, parts, keep, &grant)
    {
        return asked;
    }
    let policy = limiter.current(limit.policy());
    if !policy.is_enabled() || limit.exempts(parts) {
        return Asked::Uncounted;
    }
    let subject = limit.key().subject(parts, how(limit, limiter)).await;
    let subject = match subject {
        Ok(Some(subject)) => subject,
        Ok(None) => return Asked::Uncounted,
        Err(error) => return nobody(limit, limiter, parts, &policy, error),
    };
    let policy = limiter.for_subject(policy, subject.as_str());
    if !policy.is_enabled() {
        return Asked::Uncounted;
    }
    let mut verdict = Verdict::open();
    let check = Check::new(&policy, subject.as_str(), limit.cost(parts));
    let decided = limiter.decide(&check, &mut verdict).await;
    let asked = Question { policy: &policy, check, keep };
    settle(limit, limiter, parts, asked, decided, &mut verdict, grant)
}

/// Who asked for how much.
#[derive(Clone, Copy)]
struct Question<'a> {
    policy: &'a Current<'a>,
    check: Check<'a>,
    /// Whether the decision is needed afterwards.
    keep: bool,
}

/// As [`ask`]; `None` if that would have to wait.
pub(super) fn ask_now<G>(
    limit: &impl Limiting,
    limiter: &Limiter,
    parts: &Parts,
    keep: bool,
    grant: impl FnOnce(Granted) -> G,
) -> Option<Asked<G>> {
    let policy = limiter.current(limit.policy());
    if !policy.is_enabled() || limit.exempts(parts) {
        return Some(Asked::Uncounted);
    }
    limit.key().with_subject_now(parts, how(limit, limiter), |subject| {
        let subject = match subject {
            Ok(Some(subject)) => subject,
            Ok(None) => return Some(Asked::Uncounted),
            Err(error) => return Some(nobody(limit, limiter, parts, &policy, error)),
        };
        let policy = limiter.for_subject(policy, subject);
        if !policy.is_enabled() {
            return Some(Asked::Uncounted);
        }
        let mut verdict = Verdict::open();
        let check = Check::new(&policy, subject, limit.cost(parts));
        let decided = limiter.decide_now(&check, &mut verdict)?;
        let asked = Question { policy: &policy, check, keep };
        Some(settle(limit, limiter, parts, asked, decided, &mut verdict, grant))
    })?
}

fn how<'a>(limit: &impl Limiting, limiter: &'a Limiter) -> How<'a> {
    let options = limiter.http();
    How { options, on_missing: limit.on_missing_key().unwrap_or(options.on_missing_key) }
}

fn nobody<G>(
    limit: &impl Limiting,
    limiter: &Limiter,
    parts: &Parts,
    policy: &Current<'_>,
    error: KeyError,
) -> Asked<G> {
    if policy.is_shadow() {
        return Asked::Uncounted;
    }
    refuse(limit, limiter, parts, policy, Reason::NoKey(error))
}

/// The verdict is only taken from where it is if somebody needs it as a decision: it is large.
fn settle<G>(
    limit: &impl Limiting,
    limiter: &Limiter,
    parts: &Parts,
    asked: Question<'_>,
    decided: Result<(), Unavailable>,
    verdict: &mut Verdict,
    grant: impl FnOnce(Granted) -> G,
) -> Asked<G> {
    let policy = asked.policy;
    match decided {
        Ok(()) => {}
        Err(_) if policy.is_shadow() => return Asked::Uncounted,
        Err(error) => return refuse(limit, limiter, parts, policy, Reason::Unavailable(&error)),
    }
    if verdict.is_allowed() {
        return Asked::Granted(grant(granted(limit, limiter, asked, verdict)));
    }
    let decision = Decision::without_receipt(verdict.take());
    let blocked = Blocked { check: asked.check, decision: &decision, request: Some(parts) };
    limit.on_blocked(&blocked);
    limiter.notify_blocked(&blocked);
    if policy.is_shadow() {
        let decision = asked.keep.then(|| Box::new(decision));
        let overridden = policy.overridden().cloned();
        return Asked::Granted(grant(Granted { written: Written::NOTHING, decision, overridden }));
    }
    refuse(limit, limiter, parts, policy, Reason::QuotaExceeded(&decision))
}

fn refuse<G>(
    limit: &impl Limiting,
    limiter: &Limiter,
    parts: &Parts,
    policy: &Current<'_>,
    reason: Reason<'_>,
) -> Asked<G> {
    let how = Answering {
        options: limiter.http(),
        headers: style(limit, limiter),
        function: limit.answer(),
    };
    let texts = texts(limit, policy.overridden());
    let refusal = Refusal::new(policy, texts, reason, Some(parts));
    Asked::Refused(Box::new(refusal.answer(how)))
}

/// A shadow limit is not shown to clients: it refuses nobody.
#[inline]
fn granted(
    limit: &impl Limiting,
    limiter: &Limiter,
    asked: Question<'_>,
    verdict: &mut Verdict,
) -> Granted {
    let policy = asked.policy;
    let style = if policy.is_shadow() { HeaderStyle::None } else { style(limit, limiter) };
    let written = match style {
        HeaderStyle::None => Written::NOTHING,
        style => {
            let texts = texts(limit, policy.overridden());
            texts.write(Some(verdict), style, limiter.http().legacy_reset)
        }
    };
    let decision = asked.keep.then(|| Box::new(Decision::charged(verdict.take(), &asked.check)));
    Granted { written, decision, overridden: policy.overridden().cloned() }
}

fn style(limit: &impl Limiting, limiter: &Limiter) -> HeaderStyle {
    limit.headers().unwrap_or(limiter.http().headers)
}

/// Best effort: if the store cannot be reached now, what was charged stays charged.
pub(super) async fn give_back(policy: &Policy, limiter: &Limiter, decision: Decision) {
    if let Err(error) = limiter.refund(decision).await {
        tracing::debug!(policy = policy.name(), %error, "a refund failed");
    }
}
