//! The extractor that stands in front of an annotated handler.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;

use super::admission::{Admission, Grants};
use super::annotated::{Annotated, HandlerLimit};

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
        let extract = Extract::parts(A::limits(), parts, state, T::from_request_parts);
        Marked { future: extract, handler: PhantomData }
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
        let extract = Extract::request(A::limits(), request, state, T::from_request);
        Marked { future: extract, handler: PhantomData }
    }
}

pin_project! {
    /// Says of what is extracted whose argument it is: all of the guard that is compiled for
    /// each handler.
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

/// The limits are asked, and this gives the request back.
type Asking<'a, I> = Pin<Box<dyn Future<Output = (Result<Admission, Refused>, I)> + Send + 'a>>;

pin_project! {
    /// Asks, and then extracts an argument from `I`. Written out, as the compiler would look into
    /// an async block anew for each handler.
    struct Extract<'a, 's, I, S, F> {
        // While a limit takes waiting.
        asking: Option<Asking<'a, I>>,
        refused: Option<Refused>,
        admission: Admission,
        // Once the limits let the request through.
        #[pin]
        argument: Option<F>,
        extract: fn(I, &'s S) -> F,
        state: &'s S,
    }
}

impl<'a, 's, S, F> Extract<'a, 's, &'a mut Parts, S, F> {
    fn parts(
        limits: &'static [HandlerLimit],
        parts: &'a mut Parts,
        state: &'s S,
        extract: fn(&'a mut Parts, &'s S) -> F,
    ) -> Self {
        match Grants::ask_now(limits, parts) {
            Some(answer) => Self::answered(answer, parts, state, extract),
            None => Self::asking(
                Box::pin(async move { (Grants::ask(limits, parts).await, parts) }),
                state,
                extract,
            ),
        }
    }
}

impl<'s, S, F> Extract<'_, 's, Request, S, F> {
    fn request(
        limits: &'static [HandlerLimit],
        request: Request,
        state: &'s S,
        extract: fn(Request, &'s S) -> F,
    ) -> Self {
        let (mut parts, body) = request.into_parts();
        match Grants::ask_now(limits, &mut parts) {
            Some(answer) => {
                Self::answered(answer, Request::from_parts(parts, body), state, extract)
            }
            None => Self::asking(
                Box::pin(async move {
                    let answer = Grants::ask(limits, &mut parts).await;
                    (answer, Request::from_parts(parts, body))
                }),
                state,
                extract,
            ),
        }
    }
}

impl<'a, 's, I, S, F> Extract<'a, 's, I, S, F> {
    fn asking(asking: Asking<'a, I>, state: &'s S, extract: fn(I, &'s S) -> F) -> Self {
        let admission = Admission::default();
        Self { asking: Some(asking), refused: None, admission, argument: None, extract, state }
    }

    fn answered(
        answer: Result<Admission, Refused>,
        input: I,
        state: &'s S,
        extract: fn(I, &'s S) -> F,
    ) -> Self {
        let (admission, refused, argument) = match answer {
            Ok(admission) => (admission, None, Some(extract(input, state))),
            Err(refused) => (Admission::default(), Some(refused), None),
        };
        Self { asking: None, refused, admission, argument, extract, state }
    }
}

impl<I, S, F, T, R> Future for Extract<'_, '_, I, S, F>
where
    F: Future<Output = Result<T, R>>,
    R: IntoResponse,
{
    type Output = Result<(Admission, T), Refused>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(asking) = this.asking {
            let (answer, input) = ready!(asking.as_mut().poll(context));
            *this.asking = None;
            match answer {
                Ok(admission) => {
                    *this.admission = admission;
                    this.argument.set(Some((this.extract)(input, this.state)));
                }
                Err(refused) => *this.refused = Some(refused),
            }
        }
        if let Some(refused) = this.refused.take() {
            return Poll::Ready(Err(refused));
        }
        // There is none only after a refusal, which has been told.
        let Some(argument) = this.argument.as_pin_mut() else { return Poll::Pending };
        Poll::Ready(match ready!(argument.poll(context)) {
            Ok(argument) => Ok((this.admission.take(), argument)),
            Err(rejection) => Err(Refused::of(rejection)),
        })
    }
}

/// What a client is answered instead: in a box, as it passes through many hands.
#[derive(Debug)]
pub struct Refused(pub(super) Box<Response>);

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
