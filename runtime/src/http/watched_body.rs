//! The body of a response that is watched until its end.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use smallvec::SmallVec;

use super::usage::Usage;
use crate::decision::Adjustment;
use crate::permit::Permit;
use crate::{Decision, Limiter};

/// Things that the end of a response's body decides.
#[derive(Debug)]
pub(super) struct AtBodyEnd {
    /// The changes of charges; `None` if there are none.
    pub(super) adjustments: Option<Adjustments>,
    /// The permit of the request, which is released then.
    pub(super) permit: Option<Permit>,
}

/// The changes of charges that the end of a response's body decides.
#[derive(Debug)]
pub(super) struct Adjustments {
    pub(super) limiter: Limiter,
    /// The charges that are refunded if the body breaks.
    pub(super) refunds: SmallVec<[Box<Decision>; 1]>,
    /// The units at which others are settled, however the body ends.
    pub(super) usage: Option<Usage>,
}

impl AtBodyEnd {
    /// Watches the body of the response. If the body has ended already, or if nothing depends on its
    /// end, does at once what is to be done.
    pub(super) fn watch(mut self, response: &mut Response) {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // The connection goes on after the response. The last handle to the usage settles it, and
            // the last to the permit releases that.
            if let Some(adjustments) = &mut self.adjustments {
                adjustments.usage = None;
            }
        }
        let is_settled = |it: &Adjustments| it.refunds.is_empty() && it.usage.is_none();
        if self.permit.is_none() && self.adjustments.as_ref().is_none_or(is_settled) {
            return;
        }
        if response.body().is_end_stream() {
            return self.end(false);
        }
        let body = std::mem::take(response.body_mut());
        *response.body_mut() = Body::new(WatchedBody { body, at_end: Some(self) });
    }

    fn end(self, is_broken: bool) {
        let Some(Adjustments { limiter, refunds, usage }) = self.adjustments else { return };
        if is_broken {
            for decision in refunds {
                limiter.settle_soon(*decision, Adjustment::Refund);
            }
        }
        if let Some(usage) = usage {
            usage.settle();
        }
    }
}

/// A body that refunds charges if it fails, settles others when it ends, and holds the permit of its
/// request until then. A client that goes away
/// before the end is no failure of the body, and cannot be told from a client that needs no more of
/// it.
#[derive(Debug)]
struct WatchedBody {
    body: Body,
    /// `None` when the body has ended.
    at_end: Option<AtBodyEnd>,
}

impl WatchedBody {
    fn end(&mut self, is_broken: bool) {
        if let Some(at_end) = self.at_end.take() {
            at_end.end(is_broken);
        }
    }
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
            Poll::Ready(Some(Err(_))) => self.end(true),
            Poll::Ready(None) => self.end(false),
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
    /// Ends the body without its last frame. It has failed if it has panicked.
    fn drop(&mut self) {
        self.end(std::thread::panicking());
    }
}
