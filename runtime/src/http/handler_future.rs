//! The future that an annotated handler returns.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::response::Response;
use pin_project_lite::pin_project;

use super::admission::Admission;

pin_project! {
    /// Runs the body of a handler, then completes its response. It is written by hand, because an
    /// `async fn` around the body would be a second coroutine to compile for each handler.
    pub struct HandlerFuture<F: Future> {
        // The body is the first field and so is dropped first, like the body of an `async fn` that
        // is cancelled.
        #[pin]
        body: F,
        admission: Admission,
        convert: fn(F::Output) -> Response,
    }
}

/// `Send` is required here, so that the error points at the handler's own body and not at the
/// router.
impl<F: Future + Send> HandlerFuture<F> {
    /// Creates a future that converts the output of `body` into a response, which `admission` then
    /// completes.
    pub fn new(admission: Admission, body: F, convert: fn(F::Output) -> Response) -> Self {
        Self { body, admission, convert }
    }
}

impl<F: Future> Future for HandlerFuture<F> {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let this = self.project();
        if this.admission.is_refunding() {
            return this.admission.poll_refund(context);
        }
        match this.body.poll(context) {
            Poll::Ready(output) => this.admission.poll_complete((this.convert)(output), context),
            Poll::Pending => Poll::Pending,
        }
    }
}
