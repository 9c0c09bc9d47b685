//! The admission of a request by the limits of a handler.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::request::Parts;
use axum::response::Response;

use super::argument_values::ArgumentValues;
use super::check::{CheckNow, CheckOutcome, Checker, PendingCheck, with_limiter};
use super::counted;
use super::grants::{Grants, UnfinishedGrants};
use super::limit::{Annotated, HttpLimit};
use super::refused::{FirstRefusal, LimitBehind, RefusedRequest};
use super::request_grant::{PlainGrant, RequestGrant};
use super::usage::Usage;
use crate::overrides::EffectivePolicy;
use crate::{Check, Limiter, Source};

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
    /// The handler has not responded yet, and then only header fields are added.
    Plain(PlainGrant<&'static HttpLimit>),
    /// The handler has not responded yet.
    Granted(Box<dyn Finish>),
    /// The arguments are being extracted, and then other limits depend on them.
    Extracting(Box<Extracting>),
    /// The response is complete, but charges are being refunded before it is sent.
    Refunding(PendingResponse),
}

/// The record of a request whose handler has limits that depend on its arguments, until these are
/// checked.
struct Extracting {
    /// The limits that do not depend on the arguments.
    grants: HandlerGrants,
    /// The head of the request, from before the arguments were extracted.
    parts: Parts,
    /// The body, if no argument takes it, for the case that the request is refused.
    body: Body,
}

type PendingResponse = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Completes the response of an admitted request. The trait erases the type [`Grants`].
trait Finish: fmt::Debug + Send + Sync {
    /// Completes the response, or returns what completes it if refunds have to be awaited first.
    fn finish(self: Box<Self>, response: &mut Response) -> Option<Box<dyn FinishLater>>;
}

/// Completes a response after the refunds for which the backend has to be awaited.
trait FinishLater: Send {
    fn finish(self: Box<Self>, response: Response) -> PendingResponse;
}

impl Finish for Grants<&'static HttpLimit> {
    fn finish(self: Box<Self>, response: &mut Response) -> Option<Box<dyn FinishLater>> {
        Some(Box::new(self.finish(response)?))
    }
}

impl FinishLater for UnfinishedGrants<&'static HttpLimit> {
    fn finish(self: Box<Self>, mut response: Response) -> PendingResponse {
        Box::pin(async move {
            (*self).finish(&mut response).await;
            response
        })
    }
}

impl Admission {
    /// Creates the admission, and adds the decisions that are to be shown to the request's
    /// extensions, where the extractor `RateLimit` finds them.
    fn new(mut grants: HandlerGrants, parts: &mut Parts) -> Self {
        grants.show(&mut parts.extensions);
        Self(State::Granted(grants))
    }

    /// Keeps the body of a request whose arguments are all extracted from its head, if other limits
    /// may still refuse it.
    pub(super) fn keep_body(&mut self, body: Body) {
        if let State::Extracting(extracting) = &mut self.0 {
            extracting.body = body;
        }
    }

    /// Checks the request against the limits that depend on the handler's arguments. The error is
    /// the response to a request that is refused; the charges of the handler's other limits are
    /// then refunded.
    pub async fn check_arguments(
        self,
        limits: &'static [HttpLimit],
        arguments: ArgumentValues,
    ) -> Result<Self, Response> {
        // The handler's type has told the extractor to keep the head, so the state is this one.
        let State::Extracting(extracting) = self.0 else { return Ok(self) };
        let Extracting { grants, mut parts, body } = *extracting;
        parts.extensions.insert(arguments);
        match check_each(limits, &mut parts, grants, false, false).await {
            Ok(mut grants) => {
                grants.show(&mut parts.extensions);
                Ok(Self(State::Granted(grants)))
            }
            Err(refused) => Err(*refused.respond(&parts, body)),
        }
    }

    /// Completes a response. If charges have to be refunded first, it may return `Pending`; then
    /// [`poll_refund`](Self::poll_refund) returns the response later.
    pub(super) fn poll_complete(
        &mut self,
        mut response: Response,
        context: &mut Context<'_>,
    ) -> Poll<Response> {
        let granted = match std::mem::take(&mut self.0) {
            State::Plain(granted) => {
                granted.finish(&mut response);
                return Poll::Ready(response);
            }
            State::Granted(granted) => Some(granted),
            // The extractor of an argument has rejected the request.
            State::Extracting(extracting) => Some(extracting.grants as Box<dyn Finish>),
            State::Nothing | State::Refunding(_) => None,
        };
        if let Some(unfinished) = granted.and_then(|granted| granted.finish(&mut response)) {
            self.0 = State::Refunding(unfinished.finish(response));
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
            State::Plain(granted) => {
                f.debug_tuple("Admission").field(&[granted.limit().policy().name()]).finish()
            }
            State::Granted(granted) => f.debug_tuple("Admission").field(granted).finish(),
            // The head is not shown, because headers contain credentials.
            State::Extracting(extracting) => {
                f.debug_tuple("Admission").field(&extracting.grants).finish()
            }
            State::Nothing | State::Refunding(_) => f.write_str("Admission"),
        }
    }
}

/// The limits of a handler that are checked before its arguments are extracted.
#[derive(Clone, Copy)]
pub(super) struct HandlerLimits {
    limits: &'static [HttpLimit],
    /// `true` if the handler also has limits that depend on its arguments.
    keeps_head: bool,
}

impl HandlerLimits {
    #[inline]
    pub(super) fn of<A: Annotated>() -> Self {
        Self { limits: A::limits(), keeps_head: A::KEEPS_HEAD }
    }
}

/// Checks a request against the limits of its handler, without waiting. The error is the refusal.
/// `records_count` is `true` if the handler may send the request on, to other limits.
///
/// This is not an async function, because most checks need not wait: see [`check_later`].
#[inline]
pub(super) fn check(
    HandlerLimits { limits, keeps_head }: HandlerLimits,
    parts: &mut Parts,
    records_count: bool,
) -> CheckNow<Result<Admission, RefusedRequest>> {
    let records_count = records_count && counted::has_layers();
    let [limit] = limits else { return CheckNow::Waits(None) };
    if keeps_head || !limit.is_immediate() {
        return CheckNow::Waits(None);
    }
    let checked = with_limiter(parts, |limiter| {
        let grant = |granted| RequestGrant::new(limit, limiter, granted);
        checker(limiter, limit, records_count).check_now(parts, grant)
    });
    match checked {
        Some(CheckNow::Done(outcome)) => {
            CheckNow::Done(outcome.answered().map(|grant| match grant {
                Some(RequestGrant::Plain(grant)) => Admission(State::Plain(grant)),
                Some(RequestGrant::Full(grants)) => admit(grants, parts, records_count),
                None => Admission::default(),
            }))
        }
        Some(CheckNow::Waits(pending)) => CheckNow::Waits(pending),
        // The override of the subject has to be awaited.
        None => CheckNow::Waits(None),
    }
}

/// Checks a request that [`check`] could not check without waiting.
pub(super) fn check_later<'a>(
    HandlerLimits { limits, keeps_head }: HandlerLimits,
    parts: &'a mut Parts,
    pending: Option<Box<PendingCheck>>,
    records_count: bool,
) -> Pin<Box<dyn Future<Output = Result<Admission, RefusedRequest>> + Send + 'a>> {
    let records_count = records_count && counted::has_layers();
    Box::pin(async move {
        let ([limit], Some(pending)) = (limits, pending) else {
            let grants = Grants::none(&with_limiter(parts, Limiter::clone));
            let mut grants = check_each(limits, parts, grants, records_count, keeps_head).await?;
            if !keeps_head {
                return Ok(Admission::new(grants, parts));
            }
            grants.show(&mut parts.extensions);
            // A limit that depends on the arguments may settle at the usage that one of them is.
            Usage::of(&mut parts.extensions);
            grants.open_permit(&mut parts.extensions);
            let (parts, body) = (parts.clone(), Body::empty());
            return Ok(Admission(State::Extracting(Box::new(Extracting { grants, parts, body }))));
        };
        let grants = wait(limit, parts, *pending, records_count).await.answered()?;
        Ok(grants.map_or_else(Admission::default, |grants| admit(grants, parts, records_count)))
    })
}

/// Converts the record of the checks into the admission, and records the counts of the request if
/// `records_count` is `true`.
fn admit(grants: HandlerGrants, parts: &mut Parts, records_count: bool) -> Admission {
    if records_count {
        grants.record_counts(&mut parts.extensions);
    }
    Admission::new(grants, parts)
}

type HandlerGrants = Box<Grants<&'static HttpLimit>>;

fn checker<'a>(
    limiter: &'a Limiter,
    limit: &'static HttpLimit,
    records_count: bool,
) -> Checker<'a, RefusedRequest> {
    let keeps_decision = limit.keeps_decision();
    Checker { limit, limiter, keeps_decision, records_count, refuse: |refusing| refusing.respond() }
}

/// Waits for the backend's answer to the check of a single limit.
async fn wait(
    limit: &'static HttpLimit,
    parts: &Parts,
    pending: PendingCheck,
    records_count: bool,
) -> CheckOutcome<HandlerGrants, RefusedRequest> {
    let limiter = with_limiter(parts, Limiter::clone);
    let grant = |granted| Grants::one(limit, &limiter, granted);
    checker(&limiter, limit, records_count).wait(parts, pending, grant).await
}

/// Checks the request against one limit after the other, and waits where necessary. Each count is
/// recorded before the next limit is checked. `grants` are those of the limits in front of these;
/// if one of these refuses the request, the charges of all are refunded. `has_others` is `true` if
/// the handler has other limits behind these.
async fn check_each(
    limits: &'static [HttpLimit],
    parts: &mut Parts,
    mut grants: HandlerGrants,
    records_count: bool,
    has_others: bool,
) -> Result<HandlerGrants, RefusedRequest> {
    let has_others = has_others || limits.len() > 1;
    let limiter = with_limiter(parts, Limiter::clone);
    for (index, limit) in limits.iter().enumerate() {
        // With several limits, each decision is needed later: if a later limit refuses, the charges
        // of the earlier ones are refunded.
        let keeps_decision = has_others || limit.keeps_decision();
        let records_count = records_count || has_others;
        let refuse = FirstRefusal::of;
        let checker = Checker { limit, limiter: &limiter, keeps_decision, records_count, refuse };
        match checker.check(parts, |granted| granted).await {
            CheckOutcome::Granted(granted) => {
                granted.record_count(&mut parts.extensions);
                grants.push(limit, granted);
            }
            CheckOutcome::Uncounted => {}
            CheckOutcome::Refused(refusal) => {
                grants.refund_all().await;
                return Err(match refusal {
                    FirstRefusal::Responded(refused) => refused,
                    FirstRefusal::Deferred(refusal) => {
                        let behind = limits.get(index + 1..).unwrap_or_default();
                        // After a refusal by the deny cache, the backend is not asked for the
                        // limits behind it either.
                        let may_wait = refusal.source() != Source::DenyCache;
                        let behind = peek_each(behind, parts, &limiter, may_wait).await;
                        refusal.respond(limit, &limiter, parts, &behind)
                    }
                });
            }
        }
    }
    Ok(grants)
}

/// Peeks at the limits behind the one that has refused a request, in one call, because the same
/// request succeeds only when they admit it, too.
async fn peek_each(
    behind: &'static [HttpLimit],
    parts: &mut Parts,
    limiter: &Limiter,
    may_wait: bool,
) -> Vec<LimitBehind<'static>> {
    let mut found = Vec::with_capacity(behind.len());
    for limit in behind {
        if let Some(pending) = checker(limiter, limit, false).find_behind(parts).await {
            found.push((limit, pending));
        }
    }
    let policies: Vec<EffectivePolicy<'_>> =
        found.iter().map(|(limit, pending)| pending.policy(limit)).collect();
    let checks: Vec<Check<'_>> =
        found.iter().zip(&policies).map(|((_, pending), policy)| pending.check(policy)).collect();
    let verdicts = limiter.peek_all(&checks, may_wait).await;
    let limits = found.iter().zip(policies).zip(verdicts);
    limits
        .filter_map(|(((limit, _), policy), verdict)| {
            let (overridden, verdict) = (policy.into_overridden(), verdict?);
            Some(LimitBehind { limit, overridden, verdict })
        })
        .collect()
}
