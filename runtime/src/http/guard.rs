//! The extractor that stands in front of an annotated handler.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;
use smallvec::SmallVec;

use super::ask::{Asked, Granted, Limiting, ask, ask_now, give_back};
use super::fields::Fields;
use super::options::{HeaderStyle, OnMissingKey};
use super::refusal::Refusal;
use super::shown::RateLimit;
use crate::annotation::Limit;
use crate::global::with_current_limiter;
use crate::key::Key;
use crate::{Blocked, Limiter, Policy};

/// One policy of an annotated handler, in a static beside it.
#[derive(Debug)]
pub struct HandlerLimit {
    limit: Limit,
    key: Key,
    cost: Cost,
    exempt: Option<fn(&Parts) -> bool>,
    refund_if: Option<fn(&Response) -> bool>,
    headers: Option<HeaderStyle>,
    on_missing_key: Option<OnMissingKey>,
    refusal: Option<fn(&Refusal<'_>) -> Response>,
    /// Whether the handler looks at its decisions.
    shows: bool,
    fields: Fields,
}

/// What a request takes.
#[derive(Clone, Copy, Debug)]
pub enum Cost {
    /// Always this much.
    Fixed(u32),
    /// What this function makes of the request.
    Function(fn(&Parts) -> u32),
}

impl HandlerLimit {
    /// A limit of which each request takes `cost`.
    #[must_use]
    pub const fn new(limit: Limit, key: Key, cost: Cost) -> Self {
        Self {
            limit,
            key,
            cost,
            exempt: None,
            refund_if: None,
            headers: None,
            on_missing_key: None,
            refusal: None,
            shows: false,
            fields: Fields::in_static(),
        }
    }

    /// Does not count requests of which `function` says so.
    #[must_use]
    pub const fn exempt(mut self, function: fn(&Parts) -> bool) -> Self {
        self.exempt = Some(function);
        self
    }

    /// Gives the cost back after a response of which `function` says so.
    #[must_use]
    pub const fn refund_if(mut self, function: fn(&Response) -> bool) -> Self {
        self.refund_if = Some(function);
        self.limit.set_refunds();
        self
    }

    /// Tells clients of it in this style, whatever the limiter's.
    #[must_use]
    pub const fn headers(mut self, style: HeaderStyle) -> Self {
        self.headers = Some(style);
        self
    }

    /// Does this with requests that lack the key, whatever the limiter does.
    #[must_use]
    pub const fn on_missing_key(mut self, mode: OnMissingKey) -> Self {
        self.on_missing_key = Some(mode);
        self
    }

    /// Answers refusals with what `function` makes of them.
    #[must_use]
    pub const fn refusal(mut self, function: fn(&Refusal<'_>) -> Response) -> Self {
        self.refusal = Some(function);
        self
    }

    /// Puts decisions where the handler's [`RateLimit`] finds them.
    #[must_use]
    pub const fn shows(mut self) -> Self {
        self.shows = true;
        self
    }

    /// What it has in common with a function's limit.
    pub const fn limit(&self) -> &Limit {
        &self.limit
    }
}

impl Limiting for HandlerLimit {
    fn policy(&self) -> &Policy {
        self.limit.policy()
    }

    fn key(&self) -> &Key {
        &self.key
    }

    fn cost(&self, parts: &Parts) -> u32 {
        match self.cost {
            Cost::Fixed(cost) => cost,
            Cost::Function(cost) => cost(parts),
        }
    }

    fn exempts(&self, parts: &Parts) -> bool {
        self.exempt.is_some_and(|exempt| exempt(parts))
    }

    fn on_blocked(&self, blocked: &Blocked<'_>) {
        self.limit.tell(blocked);
    }

    fn headers(&self) -> Option<HeaderStyle> {
        self.headers
    }

    fn on_missing_key(&self) -> Option<OnMissingKey> {
        self.on_missing_key
    }

    fn fields(&self) -> &Fields {
        &self.fields
    }

    fn answer(&self) -> Option<&dyn Fn(&Refusal<'_>) -> Response> {
        self.refusal.as_ref().map(|function| function as _)
    }
}

/// The type that the attribute puts beside a handler, so that [`Guarded`] can name its limits.
pub trait Annotated {
    /// The limits, in the order in which they are checked.
    fn limits() -> &'static [HandlerLimit];
}

/// An argument of a handler, and before it what the limiter said: it is asked first, and so
/// before any body is read. Like a tuple of two extractors it is itself one.
///
/// All that depends on the handler is in `Marked`; the rest is compiled once for each type of
/// argument.
pub struct Guarded<A, T>(pub Admission, pub T, pub PhantomData<fn() -> A>);

impl<A, T, S> FromRequestParts<S> for Guarded<A, T>
where
    A: Annotated,
    T: FromRequestParts<S>,
    S: Send + Sync,
{
    type Rejection = Refused;

    fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> impl Future<Output = Result<Self, Refused>> + Send {
        Marked { future: extract_parts(A::limits(), parts, state), handler: PhantomData }
    }
}

impl<A, T, S> FromRequest<S> for Guarded<A, T>
where
    A: Annotated,
    T: FromRequest<S>,
    S: Send + Sync,
{
    type Rejection = Refused;

    fn from_request(
        request: Request,
        state: &S,
    ) -> impl Future<Output = Result<Self, Refused>> + Send {
        Marked { future: extract(A::limits(), request, state), handler: PhantomData }
    }
}

async fn extract_parts<T: FromRequestParts<S>, S: Send + Sync>(
    limits: &'static [HandlerLimit],
    parts: &mut Parts,
    state: &S,
) -> Result<(Admission, T), Refused> {
    let admission = match Grants::ask_now(limits, parts) {
        Some(asked) => asked?,
        None => Box::pin(Grants::ask(limits, parts)).await?,
    };
    let argument = T::from_request_parts(parts, state).await;
    Ok((admission, argument.map_err(Refused::of)?))
}

async fn extract<T: FromRequest<S>, S: Send + Sync>(
    limits: &'static [HandlerLimit],
    request: Request,
    state: &S,
) -> Result<(Admission, T), Refused> {
    let (mut parts, body) = request.into_parts();
    let admission = match Grants::ask_now(limits, &mut parts) {
        Some(asked) => asked?,
        None => Box::pin(Grants::ask(limits, &mut parts)).await?,
    };
    let argument = T::from_request(Request::from_parts(parts, body), state).await;
    Ok((admission, argument.map_err(Refused::of)?))
}

/// What a client is answered instead: in a box, as it passes through many hands.
#[derive(Debug)]
pub struct Refused(Box<Response>);

impl Refused {
    fn of(rejection: impl IntoResponse) -> Self {
        Self(Box::new(rejection.into_response()))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}

pin_project! {
    /// Says of what is extracted whose argument it is. Written out, for it is compiled for each
    /// handler, and an async block would be five times the code.
    struct Marked<F, A> {
        #[pin]
        future: F,
        handler: PhantomData<fn() -> A>,
    }
}

impl<F, A, T> Future for Marked<F, A>
where
    F: Future<Output = Result<(Admission, T), Refused>>,
{
    type Output = Result<Guarded<A, T>, Refused>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().future.poll(context) {
            Poll::Ready(Ok((admission, argument))) => {
                Poll::Ready(Ok(Guarded(admission, argument, PhantomData)))
            }
            Poll::Ready(Err(refusal)) => Poll::Ready(Err(refusal)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// So that `#[tracing::instrument]`, which records arguments, can stand below the attribute.
impl<A, T: fmt::Debug> fmt::Debug for Guarded<A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guarded").field(&self.0).field(&self.1).finish()
    }
}

/// A request that may go on; nothing, if no limit has anything left to do about it.
///
/// The handlers' crate does not see what is in it: the compiler would look into that at each of
/// them.
#[derive(Debug)]
pub struct Admission(Option<Box<dyn Admitted>>);

pin_project! {
    /// What a handler returns: its body, and what completes its response. Written out, as an
    /// `async fn` around the body is a second coroutine for each handler.
    pub struct Limited<F: Future> {
        // Dropped first, as a body is in an `async fn` that ends early.
        #[pin]
        body: F,
        admission: Option<Admission>,
        convert: fn(F::Output) -> Response,
    }
}

impl<F: Future> Limited<F> {
    /// What `body` gives, made a response by `convert`, and that completed by `admission`.
    pub fn new(admission: Admission, body: F, convert: fn(F::Output) -> Response) -> Self {
        Self { body, admission: Some(admission), convert }
    }
}

impl<F: Future> Future for Limited<F> {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let this = self.project();
        match this.body.poll(context) {
            Poll::Ready(output) => {
                Poll::Ready(Admission::complete(this.admission, (this.convert)(output)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

trait Admitted: fmt::Debug + Send + Sync {
    fn finish(self: Box<Self>, response: &mut Response);
    fn finish_and_refund(
        self: Box<Self>,
        response: Response,
    ) -> Pin<Box<dyn Future<Output = Response> + Send>>;
}

impl Admission {
    /// Completes the handler's response.
    #[must_use]
    pub fn finish(self, mut response: Response) -> Response {
        if let Some(admitted) = self.0 {
            admitted.finish(&mut response);
        }
        response
    }

    fn complete(admission: &mut Option<Self>, response: Response) -> Response {
        match admission.take() {
            Some(admission) => admission.finish(response),
            None => response,
        }
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

/// The limits that let a request through, and what they left.
struct Grants {
    granted: SmallVec<[(&'static HandlerLimit, Granted); 1]>,
    /// If something may have to be given back.
    limiter: Option<Limiter>,
}

impl Grants {
    /// Asks a limit that is alone; `None` if that would take waiting.
    fn ask_now(
        limits: &'static [HandlerLimit],
        parts: &mut Parts,
    ) -> Option<Result<Admission, Refused>> {
        let [limit] = limits else { return None };
        if !limit.key.is_immediate() {
            return None;
        }
        let asked = with_limiter(parts, |limiter| {
            let keep = limit.shows || limit.refund_if.is_some();
            ask_now(limit, limiter, parts, keep, |granted| {
                let granted = SmallVec::from_buf([(limit, granted)]);
                Box::new(Self { granted, limiter: limit.refund_if.map(|_| limiter.clone()) })
            })
        })?;
        Some(match asked {
            Asked::Granted(grants) => Ok(grants.admit(parts)),
            Asked::Uncounted => Ok(Admission(None)),
            Asked::Refused(refusal) => Err(Refused(refusal)),
        })
    }

    /// Asks them one after the other.
    async fn ask(limits: &'static [HandlerLimit], parts: &mut Parts) -> Result<Admission, Refused> {
        let limiter = with_limiter(parts, Limiter::clone);
        let mut granted = SmallVec::new();
        for limit in limits {
            // A later limit may refuse, and then what was taken is given back.
            let keep = limits.len() > 1 || limit.shows || limit.refund_if.is_some();
            match ask(limit, &limiter, parts, keep, |granted| granted).await {
                Asked::Granted(grant) => granted.push((limit, grant)),
                Asked::Uncounted => {}
                Asked::Refused(refusal) => {
                    if !granted.is_empty() {
                        Self { granted, limiter: Some(limiter) }.give_back().await;
                    }
                    return Err(Refused(refusal));
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
            grant.add_fields(*limit, response);
        }
    }

    async fn give_back(self) {
        let Some(limiter) = self.limiter else { return };
        for (limit, grant) in self.granted {
            if let Some(decision) = grant.decision {
                give_back(limit.policy(), &limiter, *decision).await;
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
