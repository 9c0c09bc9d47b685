//! Asking about one request, for whoever stands in front of it: a handler's guard or a layer.

use axum::http::request::Parts;
use axum::response::Response;

use super::fields::Fields;
use super::options::{HeaderStyle, OnMissingKey};
use super::refusal::{Answering, Reason, Refusal};
use crate::key::{How, Key, KeyError};
use crate::subject::Subject;
use crate::{Blocked, Decision, Limiter, Policy, Unavailable};

/// What limits a request: a policy, and what was said of it.
pub(super) trait Limiting: Send + Sync {
    fn policy(&self) -> &Policy;
    fn key(&self) -> &Key;
    fn cost(&self, parts: &Parts) -> u32;
    fn exempts(&self, parts: &Parts) -> bool;
    fn is_shadow(&self) -> bool;
    fn on_blocked(&self, blocked: &Blocked<'_>);
    fn headers(&self) -> Option<HeaderStyle>;
    fn on_missing_key(&self) -> Option<OnMissingKey>;
    fn fields(&self) -> &Fields;
    /// The policy's own answer, if it has one.
    fn answer(&self) -> Option<&dyn Fn(&Refusal<'_>) -> Response>;
}

/// What came of it.
#[allow(clippy::large_enum_variant, reason = "a box would cost each request that may go on")]
pub(super) enum Asked {
    /// It may go on, as was decided.
    Granted(Decision),
    /// It may go on, and is not counted.
    Uncounted,
    /// It may not.
    Refused(Response),
}

pub(super) async fn ask(limit: &impl Limiting, limiter: &Limiter, parts: &mut Parts) -> Asked {
    if limit.exempts(parts) {
        return Asked::Uncounted;
    }
    let subject = limit.key().subject(parts, how(limit, limiter)).await;
    let subject = match subject {
        Ok(Some(subject)) => subject,
        Ok(None) => return Asked::Uncounted,
        Err(error) => return nobody(limit, limiter, parts, error),
    };
    let answer = limiter.check_cost(limit.policy(), subject.as_str(), limit.cost(parts)).await;
    settle(limit, limiter, parts, &subject, answer)
}

/// As [`ask`]; `None` if that would have to wait.
pub(super) fn ask_now(limit: &impl Limiting, limiter: &Limiter, parts: &Parts) -> Option<Asked> {
    if limit.exempts(parts) {
        return Some(Asked::Uncounted);
    }
    let subject = match limit.key().subject_now(parts, how(limit, limiter))? {
        Ok(Some(subject)) => subject,
        Ok(None) => return Some(Asked::Uncounted),
        Err(error) => return Some(nobody(limit, limiter, parts, error)),
    };
    let answer = limiter.check_now(limit.policy(), subject.as_str(), limit.cost(parts))?;
    Some(settle(limit, limiter, parts, &subject, answer))
}

fn how<'a>(limit: &impl Limiting, limiter: &'a Limiter) -> How<'a> {
    let options = limiter.http();
    How { options, on_missing: limit.on_missing_key().unwrap_or(options.on_missing_key) }
}

fn nobody(limit: &impl Limiting, limiter: &Limiter, parts: &Parts, error: KeyError) -> Asked {
    if limit.is_shadow() {
        return Asked::Uncounted;
    }
    refuse(limit, limiter, parts, Reason::NoKey(error))
}

fn settle(
    limit: &impl Limiting,
    limiter: &Limiter,
    parts: &Parts,
    subject: &Subject,
    answer: Result<Decision, Unavailable>,
) -> Asked {
    let decision = match answer {
        Ok(decision) => decision,
        Err(_) if limit.is_shadow() => return Asked::Uncounted,
        Err(error) => return refuse(limit, limiter, parts, Reason::Unavailable(&error)),
    };
    if decision.is_allowed() {
        return Asked::Granted(decision);
    }
    let (policy, shadow) = (limit.policy(), limit.is_shadow());
    let subject = subject.as_str();
    limit.on_blocked(&Blocked {
        policy,
        subject,
        decision: &decision,
        shadow,
        request: Some(parts),
    });
    if shadow {
        tracing::info!(policy = policy.name(), "a shadow limit would have refused");
        return Asked::Granted(decision);
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
    Asked::Refused(Refusal::new(limit.policy(), texts, reason, Some(parts)).answer(how))
}

/// Adds the fields to the response of a request that was let through. A shadow limit is not
/// shown: it refuses nobody.
pub(super) fn write_fields(
    limit: &impl Limiting,
    limiter: &Limiter,
    decision: &Decision,
    response: &mut Response,
) {
    let style = style(limit, limiter);
    if !limit.is_shadow() && style != HeaderStyle::None {
        let texts = limit.fields().texts(limit.policy());
        let reset = limiter.http().legacy_reset;
        texts.write(response.headers_mut(), Some(decision), style, reset);
    }
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
