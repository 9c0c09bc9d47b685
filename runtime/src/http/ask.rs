//! Asking about one request, for whoever stands in front of it: a handler's guard or a layer.

use axum::http::request::Parts;
use axum::response::Response;

use super::fields::{Fields, Written};
use super::options::{HeaderStyle, OnMissingKey};
use super::refusal::{Answering, Reason, Refusal};
use crate::decision::Ruling;
use crate::key::{How, Key, KeyError};
use crate::subject::Subject;
use crate::{Blocked, Decision, Limiter, Policy, Unavailable};

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

/// What came of it.
pub(super) enum Asked {
    /// It may go on.
    Granted(Granted),
    /// It may go on, and is not counted.
    Uncounted,
    /// It may not.
    Refused(Box<Response>),
}

/// What is left of a decision that lets a request through.
pub(super) struct Granted {
    pub(super) written: Written,
    /// If it was asked to be kept, which is rare.
    pub(super) decision: Option<Box<Decision>>,
}

/// Asks; `keep` is whether the decision is needed afterwards.
pub(super) async fn ask(
    limit: &impl Limiting,
    limiter: &Limiter,
    parts: &mut Parts,
    keep: bool,
) -> Asked {
    if limit.key().is_immediate()
        && let Some(asked) = ask_now(limit, limiter, parts, keep)
    {
        return asked;
    }
    if limit.exempts(parts) {
        return Asked::Uncounted;
    }
    let subject = limit.key().subject(parts, how(limit, limiter)).await;
    let subject = match subject {
        Ok(Some(subject)) => subject,
        Ok(None) => return Asked::Uncounted,
        Err(error) => return nobody(limit, limiter, parts, error),
    };
    let mut ruling = Ruling::open();
    let cost = limit.cost(parts);
    let ruled = limiter.rule(limit.policy(), subject.as_str(), cost, &mut ruling).await;
    let asked = Question { subject: &subject, cost, keep };
    settle(limit, limiter, parts, asked, ruled, &mut ruling)
}

/// Who asked for how much.
#[derive(Clone, Copy)]
struct Question<'a> {
    subject: &'a Subject,
    cost: u32,
    /// Whether the decision is needed afterwards.
    keep: bool,
}

/// As [`ask`]; `None` if that would have to wait.
pub(super) fn ask_now(
    limit: &impl Limiting,
    limiter: &Limiter,
    parts: &Parts,
    keep: bool,
) -> Option<Asked> {
    if limit.exempts(parts) {
        return Some(Asked::Uncounted);
    }
    let subject = match limit.key().subject_now(parts, how(limit, limiter))? {
        Ok(Some(subject)) => subject,
        Ok(None) => return Some(Asked::Uncounted),
        Err(error) => return Some(nobody(limit, limiter, parts, error)),
    };
    let mut ruling = Ruling::open();
    let cost = limit.cost(parts);
    let ruled = limiter.rule_now(limit.policy(), subject.as_str(), cost, &mut ruling)?;
    let asked = Question { subject: &subject, cost, keep };
    Some(settle(limit, limiter, parts, asked, ruled, &mut ruling))
}

fn how<'a>(limit: &impl Limiting, limiter: &'a Limiter) -> How<'a> {
    let options = limiter.http();
    How { options, on_missing: limit.on_missing_key().unwrap_or(options.on_missing_key) }
}

fn nobody(limit: &impl Limiting, limiter: &Limiter, parts: &Parts, error: KeyError) -> Asked {
    if limit.policy().is_shadow() {
        return Asked::Uncounted;
    }
    refuse(limit, limiter, parts, Reason::NoKey(error))
}

/// The ruling is only taken from where it is if somebody needs it as a decision: it is large.
fn settle(
    limit: &impl Limiting,
    limiter: &Limiter,
    parts: &Parts,
    asked: Question<'_>,
    ruled: Result<(), Unavailable>,
    ruling: &mut Ruling,
) -> Asked {
    match ruled {
        Ok(()) => {}
        Err(_) if limit.policy().is_shadow() => return Asked::Uncounted,
        Err(error) => return refuse(limit, limiter, parts, Reason::Unavailable(&error)),
    }
    if ruling.is_allowed() {
        return Asked::Granted(granted(limit, limiter, asked, ruling));
    }
    let decision = Decision::final_one(ruling.take());
    let (policy, subject) = (limit.policy(), asked.subject.as_str());
    let blocked = Blocked { policy, subject, decision: &decision, request: Some(parts) };
    limit.on_blocked(&blocked);
    limiter.tell_blocked(&blocked);
    if policy.is_shadow() {
        let decision = asked.keep.then(|| Box::new(decision));
        return Asked::Granted(Granted { written: Written::NOTHING, decision });
    }
    refuse(limit, limiter, parts, Reason::QuotaExceeded(&decision))
}

fn refuse(limit: &impl Limiting, limiter: &Limiter, parts: &Parts, reason: Reason<'_>) -> Asked {
    let how = Answering {
        options: limiter.http(),
        headers: style(limit, limiter),
        function: limit.answer(),
    };
    let texts = limit.fields().texts(limit.policy());
    let refusal = Refusal::new(limit.policy(), texts, reason, Some(parts));
    Asked::Refused(Box::new(refusal.answer(how)))
}

/// A shadow limit is not shown to clients: it refuses nobody.
fn granted(
    limit: &impl Limiting,
    limiter: &Limiter,
    asked: Question<'_>,
    ruling: &mut Ruling,
) -> Granted {
    let style = if limit.policy().is_shadow() { HeaderStyle::None } else { style(limit, limiter) };
    let written = match style {
        HeaderStyle::None => Written::NOTHING,
        style => {
            let texts = limit.fields().texts(limit.policy());
            texts.write(Some(ruling), style, limiter.http().legacy_reset)
        }
    };
    let decision = asked.keep.then(|| {
        let subject = asked.subject.as_str();
        Box::new(Decision::charged(ruling.take(), limit.policy(), subject, asked.cost))
    });
    Granted { written, decision }
}

/// Adds the fields to the response of a request that was let through.
pub(super) fn add_fields(limit: &impl Limiting, written: Written, response: &mut Response) {
    limit.fields().texts(limit.policy()).add(response.headers_mut(), written);
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
