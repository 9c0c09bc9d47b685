//! The extractor that stands in front of an annotated handler.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;

use super::admission::{self, Admission, Answer, Asking};
use super::annotated::Annotated;

/// An argument of a handler, and before it what the limiter said: it is asked first, and so
/// before any body is read. Like a tuple of two extractors it is itself one.
///
/// All that depends on the handler is in `Marked`; the rest is compiled once for each type of
/// argument.
pub struct Guarded<A, T>(pub (Admission, T), pub PhantomData<fn() -> A>);

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
        let answer = admission::ask_for_parts(A::limits(), parts);
        let future = Extract::new(answer, state, T::from_request_parts);
        Marked { future, handler: PhantomData }
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
        let answer = admission::ask_for_request(A::limits(), request);
        let future = Extract::new(answer, state, T::from_request);
        Marked { future, handler: PhantomData }
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
            Poll::Ready(Ok(extracted)) => Poll::Ready(Ok(Guarded(extracted, PhantomData))),
            Poll::Ready(Err(refusal)) => Poll::Ready(Err(refusal)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// So that `#[tracing::instrument]`, which records arguments, can stand below the attribute.
impl<A, T: fmt::Debug> fmt::Debug for Guarded<A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guarded").field(&self.0).finish()
    }
}

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

impl<'a, 's, I, S, F> Extract<'a, 's, I, S, F> {
    fn new(answer: Answer<'a, I>, state: &'s S, extract: fn(I, &'s S) -> F) -> Self {
        let admission = Admission::default();
        let mut this =
            Self { asking: None, refused: None, admission, argument: None, extract, state };
        match answer {
            Answer::Now(Ok(admission), input) => {
                this.admission = admission;
                this.argument = Some(extract(input, state));
            }
            Answer::Now(Err(refused), _) => this.refused = Some(refused),
            Answer::Later(asking) => this.asking = Some(asking),
        }
        this
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
