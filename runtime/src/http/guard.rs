//! The extractor that stands in front of an annotated handler.

use std::fmt;
use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;

use super::fields::{self, PolicyField};
use super::refusal;
use crate::global::current_limiter;
use crate::key::Key;
use crate::{Decision, Limiter, Policy};

/// What an annotation on a handler says, in a static beside the handler.
#[derive(Debug)]
pub struct Annotation {
    pub(super) policy: Policy,
    pub(super) key: Key,
    pub(super) policy_field: PolicyField,
}

impl Annotation {
    /// The handler's policy, and whose requests it counts.
    #[must_use]
    pub const fn new(policy: Policy, key: Key) -> Self {
        Self { policy, key, policy_field: PolicyField::new() }
    }
}

/// The type that the attribute puts beside a handler, so that a [`Guard`] can name its
/// annotation.
pub trait Annotated: Send + Sync + 'static {
    /// The annotation.
    fn annotation() -> &'static Annotation;
}

/// Asks the limiter before the handler's own extractors run, and so before any body is read.
///
/// All that depends on the handler's type is here; the rest is compiled once.
pub struct Guard<A> {
    admission: Admission,
    annotated: PhantomData<fn() -> A>,
}

impl<A: Annotated, S: Sync> FromRequestParts<S> for Guard<A> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let admission = Admission::ask(A::annotation(), parts).await?;
        Ok(Self { admission, annotated: PhantomData })
    }
}

impl<A> Guard<A> {
    /// Completes the handler's response.
    pub async fn finish(self, response: Response) -> Response {
        self.admission.finish(response)
    }
}

/// So that `#[tracing::instrument]`, which records arguments, can stand below the attribute.
impl<A> fmt::Debug for Guard<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.admission.decision.fmt(f)
    }
}

/// A request that may go on.
struct Admission {
    annotation: &'static Annotation,
    decision: Decision,
}

impl Admission {
    async fn ask(annotation: &'static Annotation, parts: &Parts) -> Result<Self, Response> {
        let subject = match annotation.key.subject(parts) {
            Ok(subject) => subject,
            Err(error) => return Err(refusal::no_subject(annotation, error)),
        };
        let limiter = parts.extensions.get::<Limiter>().cloned().unwrap_or_else(current_limiter);
        match limiter.check(&annotation.policy, &subject).await {
            Ok(decision) if decision.is_allowed() => Ok(Self { annotation, decision }),
            Ok(decision) => Err(refusal::quota_exceeded(annotation, &decision)),
            Err(unavailable) => Err(refusal::unavailable(annotation, &unavailable)),
        }
    }

    fn finish(self, mut response: Response) -> Response {
        fields::write(response.headers_mut(), self.annotation, self.decision.quotas());
        response
    }
}
