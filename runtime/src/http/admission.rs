//! The admission of a request by the limits of a handler.

use std::fmt;
use std::pin::Pin;
use std::task::Poll;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::Response;
use smallvec::SmallVec;

use super::check::{CheckOutcome, Checker, with_limiter};
use super::grants::Grants;
use super::limit::HttpLimit;
use super::rejection::LimitRejection;
use crate::Limiter;

/// An admitted request; empty if no limit has counted it.
///
/// The type of the grants is erased, because the compiler would otherwise examine it for each
/// handler.
#[derive(Debug, Default)]
pub struct Admission(Option<Box<dyn Finish>>);

/// The end of an admission.
trait Finish: fmt::Debug + Send + Sync {
    /// Completes the response. Returns the refunds that are due after it.
    fn finish(self: Box<Self>, response: &mut Response) -> Option<RefundFuture>;
}

type RefundFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Finish for Grants<&'static HttpLimit> {
    fn finish(self: Box<Self>, response: &mut Response) -> Option<RefundFuture> {
        Some(Box::pin(self.finish(response)?.refund()))
    }
}

impl Admission {
    /// Makes the decisions visible to the handler, and returns the admission.
    fn new(grants: Box<Grants<&'static HttpLimit>>, parts: &mut Parts) -> Self {
        grants.show(&mut parts.extensions);
        Self(Some(grants))
    }

    /// Takes the admission, leaving an empty one.
    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    /// Completes the handler's response, and with it the handler's future.
    pub(super) fn complete(&mut self, response: Response) -> Poll<Response> {
        Poll::Ready(self.take().finish(response))
    }

    /// Completes the response of a handler whose limits refund nothing.
    #[must_use]
    pub fn finish(self, mut response: Response) -> Response {
        if let Some(admitted) = self.0 {
            admitted.finish(&mut response);
        }
        response
    }

    /// Completes the handler's response, and refunds the limits that ask for it after such
    /// a response.
    pub async fn finish_and_refund(self, mut response: Response) -> Response {
        let refunds = self.0.and_then(|admitted| admitted.finish(&mut response));
        if let Some(refunds) = refunds {
            refunds.await;
        }
        response
    }
}

/// The check of a request, or of its parts, which are returned with the result.
pub(super) enum Progress<'a, I> {
    Done(Result<Admission, LimitRejection>, I),
    Pending(PendingCheck<'a, I>),
}

pub(super) type PendingCheck<'a, I> =
    Pin<Box<dyn Future<Output = (Result<Admission, LimitRejection>, I)> + Send + 'a>>;

/// Checks the parts of a request.
pub(super) fn check_parts<'a>(
    limits: &'static [HttpLimit],
    parts: &'a mut Parts,
) -> Progress<'a, &'a mut Parts> {
    match check_now(limits, parts) {
        Some(result) => Progress::Done(result, parts),
        None => Progress::Pending(Box::pin(async move { (check(limits, parts).await, parts) })),
    }
}

/// Checks a request.
pub(super) fn check_request(
    limits: &'static [HttpLimit],
    request: Request,
) -> Progress<'static, Request> {
    let (mut parts, body) = request.into_parts();
    match check_now(limits, &mut parts) {
        Some(result) => Progress::Done(result, Request::from_parts(parts, body)),
        None => Progress::Pending(Box::pin(async move {
            let result = check(limits, &mut parts).await;
            (result, Request::from_parts(parts, body))
        })),
    }
}

/// Checks a single limit without waiting; `None` if that is not possible.
fn check_now(
    limits: &'static [HttpLimit],
    parts: &mut Parts,
) -> Option<Result<Admission, LimitRejection>> {
    let [limit] = limits else { return None };
    if !limit.key.is_immediate() {
        return None;
    }
    let outcome = with_limiter(parts, |limiter| {
        let grant = |granted| Grants::one(limit, limiter, granted);
        Checker { limit, limiter, keeps_decision: limit.keeps_decision() }.check_now(parts, grant)
    })?;
    Some(match outcome {
        CheckOutcome::Granted(grants) => Ok(Admission::new(grants, parts)),
        CheckOutcome::Uncounted => Ok(Admission(None)),
        CheckOutcome::Refused(response) => Err(LimitRejection(response)),
    })
}

/// Checks the limits one after the other.
async fn check(
    limits: &'static [HttpLimit],
    parts: &mut Parts,
) -> Result<Admission, LimitRejection> {
    let limiter = with_limiter(parts, Limiter::clone);
    let mut granted = SmallVec::new();
    for limit in limits {
        // If a later limit refuses, the charges of the earlier ones are refunded.
        let keeps_decision = limits.len() > 1 || limit.keeps_decision();
        let checker = Checker { limit, limiter: &limiter, keeps_decision };
        match checker.check(parts, |granted| granted).await {
            CheckOutcome::Granted(grant) => granted.push((limit, grant)),
            CheckOutcome::Uncounted => {}
            CheckOutcome::Refused(response) => {
                if !granted.is_empty() {
                    Grants::many(granted, Some(limiter)).refund().await;
                }
                return Err(LimitRejection(response));
            }
        }
    }
    let refunds = limits.iter().any(|limit| limit.refund_if.is_some());
    let grants = Grants::many(granted, refunds.then_some(limiter));
    Ok(Admission::new(grants, parts))
}
