//! The body of a response that is watched until its end.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use smallvec::SmallVec;

use crate::decision::Adjustment;
use crate::{Decision, Limiter};

/// The charges that are refunded if a response's body breaks.
#[derive(Debug)]
pub(super) struct RefundOnBreak {
    pub(super) limiter: Limiter,
    pub(super) decisions: SmallVec<[Box<Decision>; 1]>,
}

impl RefundOnBreak {
    /// Watches the body of the response. Does nothing if the body has ended, or if there is nothing
    /// to refund.
    pub(super) fn watch(self, response: &mut Response) {
        if !self.decisions.is_empty() && !response.body().is_end_stream() {
            let body = std::mem::take(response.body_mut());
            *response.body_mut() = Body::new(WatchedBody { body, refund: Some(self) });
        }
    }

    fn refund(self) {
        for decision in self.decisions {
            self.limiter.settle_soon(*decision, Adjustment::Refund);
        }
    }
}

/// A body that refunds charges if it fails. A client that goes away before the end is no failure of
/// the body, and cannot be told from a client that needs no more of it.
#[derive(Debug)]
struct WatchedBody {
    body: Body,
    /// `None` when the body has ended.
    refund: Option<RefundOnBreak>,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Err(_))) => {
                if let Some(refund) = self.refund.take() {
                    refund.refund();
                }
            }
            Poll::Ready(None) => self.refund = None,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for WatchedBody {
    /// Refunds the charges if the body has panicked.
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(refund) = self.refund.take()
        {
            refund.refund();
        }
    }
}
