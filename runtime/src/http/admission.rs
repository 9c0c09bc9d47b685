//! The admission of a request by the limits of a handler.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::request::Parts;
use axum::response::Response;
use smallvec::SmallVec;

use super::check::{CheckOutcome, Checker, with_limiter};
use super::grants::Grants;
use super::limit::HttpLimit;
use super::rejection::LimitRejection;
use crate::Limiter;

/// The record of an admitted request, by which its response is completed later. It is empty if no
/// limit has counted the request.
///
/// The type [`Grants`] is erased, because the compiler would otherwise process it again for each
/// handler.
#[derive(Default)]
pub struct Admission(State);

#[derive(Default)]
enum State {
    /// No limit has counted the request, or its response is complete.
    #[default]
    Nothing,
    /// The handler has not responded yet.
    Granted(Box<dyn Finish>),
    /// The response is complete, but charges are being refunded before it is sent.
    Refunding(PendingResponse),
}

type PendingResponse = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Completes the response of an admitted request. The trait erases the type [`Grants`].
trait Finish: fmt::Debug + Send + Sync {
    /// Adds the header fields to the response. Returns a future that makes the refunds that are due
    /// after this response; `None` if there are none.
    fn finish(self: Box<Self>, response: &mut Response) -> Option<RefundFuture>;
}

type RefundFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Finish for Grants<&'static HttpLimit> {
    fn finish(self: Box<Self>, response: &mut Response) -> Option<RefundFuture> {
        Some(Box::pin(self.finish(response)?.refund()))
    }
}

impl Admission {
    /// Creates the admission, and adds the decisions that are to be shown to the request's
    /// extensions, where the extractor `RateLimit` finds them.
    fn new(grants: Box<Grants<&'static HttpLimit>>, parts: &mut Parts) -> Self {
        grants.show(&mut parts.extensions);
        Self(State::Granted(grants))
    }

    /// Completes a response. If charges have to be refunded first, it may return `Pending`; then
    /// [`poll_refund`](Self::poll_refund) returns the response later.
    pub(super) fn poll_complete(
        &mut self,
        mut response: Response,
        context: &mut Context<'_>,
    ) -> Poll<Response> {
        if let State::Granted(granted) = std::mem::take(&mut self.0)
            && let Some(refunds) = granted.finish(&mut response)
        {
            self.0 = State::Refunding(Box::pin(async move {
                refunds.await;
                response
            }));
            return self.poll_refund(context);
        }
        Poll::Ready(response)
    }

    /// Returns `true` while a response waits for a refund.
    pub(super) fn is_refunding(&self) -> bool {
        matches!(self.0, State::Refunding(_))
    }

    /// Polls the refund, and returns the response when the refund has ended.
    pub(super) fn poll_refund(&mut self, context: &mut Context<'_>) -> Poll<Response> {
        let State::Refunding(pending) = &mut self.0 else { return Poll::Pending };
        let response = ready!(pending.as_mut().poll(context));
        self.0 = State::Nothing;
        Poll::Ready(response)
    }

    /// Completes the handler's response, and refunds the charges of the limits whose `refund_if`
    /// returns `true` for it.
    pub async fn finish(mut self, response: Response) -> Response {
        let mut response = Some(response);
        std::future::poll_fn(|context| match response.take() {
            Some(response) => self.poll_complete(response, context),
            None => self.poll_refund(context),
        })
        .await
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Granted(granted) => f.debug_tuple("Admission").field(granted).finish(),
            State::Nothing | State::Refunding(_) => f.write_str("Admission"),
        }
    }
}

/// Checks a request against the limits of its handler. The error is the response of a refusal.
pub(super) async fn check(
    limits: &'static [HttpLimit],
    parts: &mut Parts,
) -> Result<Admission, LimitRejection> {
    match check_now(limits, parts) {
        Some(result) => result,
        // The future is boxed to keep this one small, because most checks need not wait.
        None => Box::pin(check_each(limits, parts)).await,
    }
}

/// Checks the request without waiting. Returns `None` if there is not exactly one limit, or if the
/// key or the backend has to be awaited.
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
        CheckOutcome::Uncounted => Ok(Admission::default()),
        CheckOutcome::Refused(response) => Err(LimitRejection(response)),
    })
}

/// Checks the request against one limit after the other, and waits where necessary.
async fn check_each(
    limits: &'static [HttpLimit],
    parts: &mut Parts,
) -> Result<Admission, LimitRejection> {
    let limiter = with_limiter(parts, Limiter::clone);
    let mut granted = SmallVec::new();
    for limit in limits {
        // With several limits, each decision is needed later: if a later limit refuses, the charges
        // of the earlier ones are refunded.
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
