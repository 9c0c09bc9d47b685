//! What a handler returns: its body, and what completes its response.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::response::Response;
use pin_project_lite::pin_project;

use super::admission::Admission;

pin_project! {
    /// The body of a handler as a future, and after it what completes its response. Written out,
    /// as an `async fn` around the body is a second coroutine for each handler.
    pub struct Limited<F: Future> {
        // Dropped first, as a body is in an `async fn` that ends early.
        #[pin]
        body: F,
        admission: Admission,
        convert: fn(F::Output) -> Response,
    }
}

/// `Send` is asked for here, where the handler's own body is to blame, and not at the router far
/// away.
impl<F: Future + Send> Limited<F> {
    /// What `body` gives, made a response by `convert`, and that completed by `admission`.
    pub fn new(admission: Admission, body: F, convert: fn(F::Output) -> Response) -> Self {
        Self { body, admission, convert }
    }
}

impl<F: Future> Future for Limited<F> {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let this = self.project();
        match this.body.poll(context) {
            Poll::Ready(output) => this.admission.complete((this.convert)(output)),
            Poll::Pending => Poll::Pending,
        }
    }
}
