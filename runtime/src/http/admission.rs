//! A request that may go on: what its limits granted, until the response is complete.

use std::fmt;
use std::pin::Pin;
use std::task::Poll;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::Response;
use smallvec::SmallVec;

use super::check::{CheckOutcome, Checker, Granted, HttpLimit as _, refund};
use super::extractor::RateLimit;
use super::handler_limit::HandlerLimit;
use super::rejection::LimitRejection;
use crate::Limiter;
use crate::global::with_current_limiter;

/// A request that may go on; nothing, if no limit has anything left to do about it.
///
/// The handlers' crate does not see what is in it: the compiler would look into that at each of
/// them.
#[derive(Debug, Default)]
pub struct Admission(Option<Box<dyn Admitted>>);

trait Admitted: fmt::Debug + Send + Sync {
    fn finish(self: Box<Self>, response: &mut Response);
    fn finish_and_refund(
        self: Box<Self>,
        response: Response,
    ) -> Pin<Box<dyn Future<Output = Response> + Send>>;
}

impl Admission {
    /// Leaves nothing to do.
    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    /// Completes the handler's response, and its future.
    pub(super) fn complete(&mut self, response: Response) -> Poll<Response> {
        Poll::Ready(self.take().finish(response))
    }

    /// Completes the handler's response.
    #[must_use]
    pub fn finish(self, mut response: Response) -> Response {
        if let Some(admitted) = self.0 {
            admitted.finish(&mut response);
        }
        response
    }

    /// Completes the handler's response, and gives back what is to be given back after such
    /// a one.
    pub async fn finish_and_refund(self, response: Response) -> Response {
        match self.0 {
            Some(admitted) => admitted.finish_and_refund(response).await,
            None => response,
        }
    }
}

/// What the limits say of a request, or of the parts of one, which comes back with it.
pub(super) enum Progress<'a, I> {
    Done(Result<Admission, LimitRejection>, I),
    Pending(PendingCheck<'a, I>),
}

pub(super) type PendingCheck<'a, I> =
    Pin<Box<dyn Future<Output = (Result<Admission, LimitRejection>, I)> + Send + 'a>>;

pub(super) fn check_parts<'a>(
    limits: &'static [HandlerLimit],
    parts: &'a mut Parts,
) -> Progress<'a, &'a mut Parts> {
    match Grants::check_now(limits, parts) {
        Some(answer) => Progress::Done(answer, parts),
        None => {
            Progress::Pending(Box::pin(async move { (Grants::check(limits, parts).await, parts) }))
        }
    }
}

pub(super) fn check_request(
    limits: &'static [HandlerLimit],
    request: Request,
) -> Progress<'static, Request> {
    let (mut parts, body) = request.into_parts();
    match Grants::check_now(limits, &mut parts) {
        Some(answer) => Progress::Done(answer, Request::from_parts(parts, body)),
        None => Progress::Pending(Box::pin(async move {
            let answer = Grants::check(limits, &mut parts).await;
            (answer, Request::from_parts(parts, body))
        })),
    }
}

/// The limits that let a request through, and what they left.
struct Grants {
    granted: SmallVec<[(&'static HandlerLimit, Granted); 1]>,
    /// If something may have to be given back.
    limiter: Option<Limiter>,
}

impl Grants {
    /// Asks a limit that is alone; `None` if that would take waiting.
    fn check_now(
        limits: &'static [HandlerLimit],
        parts: &mut Parts,
    ) -> Option<Result<Admission, LimitRejection>> {
        let [limit] = limits else { return None };
        if !limit.key.is_immediate() {
            return None;
        }
        let outcome = with_limiter(parts, |limiter| {
            let keeps_decision = limit.shows || limit.refund_if.is_some();
            Checker { limit, limiter, keeps_decision }.check_now(parts, |granted| {
                let granted = SmallVec::from_buf([(limit, granted)]);
                Box::new(Self { granted, limiter: limit.refund_if.map(|_| limiter.clone()) })
            })
        })?;
        Some(match outcome {
            CheckOutcome::Granted(grants) => Ok(grants.admit(parts)),
            CheckOutcome::Uncounted => Ok(Admission(None)),
            CheckOutcome::Refused(refusal) => Err(LimitRejection(refusal)),
        })
    }

    /// Asks them one after the other.
    async fn check(
        limits: &'static [HandlerLimit],
        parts: &mut Parts,
    ) -> Result<Admission, LimitRejection> {
        let limiter = with_limiter(parts, Limiter::clone);
        let mut granted = SmallVec::new();
        for limit in limits {
            // A later limit may refuse, and then what was taken is given back.
            let keeps_decision = limits.len() > 1 || limit.shows || limit.refund_if.is_some();
            let checker = Checker { limit, limiter: &limiter, keeps_decision };
            match checker.check(parts, |granted| granted).await {
                CheckOutcome::Granted(grant) => granted.push((limit, grant)),
                CheckOutcome::Uncounted => {}
                CheckOutcome::Refused(refusal) => {
                    if !granted.is_empty() {
                        Self { granted, limiter: Some(limiter) }.give_back().await;
                    }
                    return Err(LimitRejection(refusal));
                }
            }
        }
        let refunds = limits.iter().any(|limit| limit.refund_if.is_some());
        Ok(Box::new(Self { granted, limiter: refunds.then_some(limiter) }).admit(parts))
    }

    /// Puts the decisions where a handler finds them that looks at them.
    fn admit(self: Box<Self>, parts: &mut Parts) -> Admission {
        for (limit, grant) in &self.granted {
            if let (true, Some(decision)) = (limit.shows, &grant.decision) {
                RateLimit::show(&mut parts.extensions, grant.policy(*limit), decision);
            }
        }
        Admission(Some(self))
    }

    fn add_fields(&mut self, response: &mut Response) {
        for (limit, grant) in &mut self.granted {
            grant.add_headers(*limit, response);
        }
    }

    async fn give_back(self) {
        let Some(limiter) = self.limiter else { return };
        for (limit, grant) in self.granted {
            if let Some(decision) = grant.decision {
                refund(limit.policy(), &limiter, *decision).await;
            }
        }
    }
}

impl Admitted for Grants {
    fn finish(mut self: Box<Self>, response: &mut Response) {
        self.add_fields(response);
    }

    fn finish_and_refund(
        mut self: Box<Self>,
        mut response: Response,
    ) -> Pin<Box<dyn Future<Output = Response> + Send>> {
        self.add_fields(&mut response);
        Box::pin(async move {
            self.granted
                .retain(|(limit, _)| limit.refund_if.is_some_and(|refund_if| refund_if(&response)));
            self.give_back().await;
            response
        })
    }
}

/// Asks the request's own limiter, if a layer has given it one; else the scoped or the global
/// one.
pub(super) fn with_limiter<T>(parts: &Parts, ask: impl FnOnce(&Limiter) -> T) -> T {
    match parts.extensions.get::<Limiter>() {
        Some(limiter) => ask(limiter),
        None => with_current_limiter(ask),
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.granted.iter().map(|(limit, _)| limit.policy().name())).finish()
    }
}
