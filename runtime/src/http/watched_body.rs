//! The body of a response that is watched until its end.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use smallvec::SmallVec;

use super::success::Success;
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
    /// The charges that are refunded if the body breaks, or if its trailers say that the request has
    /// failed.
    pub(super) on_failure: SmallVec<[Box<Decision>; 1]>,
    /// The charges that are forgiven if the trailers say that the request has succeeded.
    pub(super) on_success: SmallVec<[Box<Decision>; 1]>,
    /// The units at which others are settled, however the body ends.
    pub(super) usage: Option<Usage>,
}

impl Adjustments {
    /// Creates the record of no changes.
    pub(super) fn none(limiter: Limiter) -> Self {
        Self { limiter, on_failure: SmallVec::new(), on_success: SmallVec::new(), usage: None }
    }

    fn is_empty(&self) -> bool {
        self.on_failure.is_empty() && self.on_success.is_empty() && self.usage.is_none()
    }
}

/// The end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyEnd {
    /// It has ended, and says nothing of the request's success that the head has not said.
    Plain,
    /// Its trailers say that the request has succeeded.
    Succeeded,
    /// It has broken, or its trailers say that the request has failed.
    Failed,
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
        if self.permit.is_none() && self.adjustments.as_ref().is_none_or(Adjustments::is_empty) {
            return;
        }
        if response.body().is_end_stream() {
            return self.end(BodyEnd::Plain);
        }
        let body = std::mem::take(response.body_mut());
        *response.body_mut() = Body::new(WatchedBody { body, at_end: Some(self) });
    }

    fn end(self, end: BodyEnd) {
        let Some(due) = self.adjustments else { return };
        let Adjustments { limiter, on_failure, on_success, usage } = due;
        let (decisions, adjustment) = match end {
            BodyEnd::Plain => (SmallVec::new(), Adjustment::Refund),
            BodyEnd::Succeeded => (on_success, Adjustment::Forgive),
            BodyEnd::Failed => (on_failure, Adjustment::Refund),
        };
        for decision in decisions {
            limiter.settle_soon(*decision, adjustment);
        }
        if let Some(usage) = usage {
            usage.settle();
        }
    }
}

/// A body that refunds charges if it fails, forgives some if it succeeds, settles others when it ends,
/// and holds the permit of its request until then. A client that goes away before the end is no failure
/// of the body, and cannot be told from a client that needs no more of it.
#[derive(Debug)]
struct WatchedBody {
    body: Body,
    /// `None` when the body has ended.
    at_end: Option<AtBodyEnd>,
}

impl WatchedBody {
    fn end(&mut self, end: BodyEnd) {
        if let Some(at_end) = self.at_end.take() {
            at_end.end(end);
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
            Poll::Ready(Some(Err(_))) => self.end(BodyEnd::Failed),
            Poll::Ready(None) => self.end(BodyEnd::Plain),
            // Nothing comes after trailers.
            Poll::Ready(Some(Ok(frame))) => match frame.trailers_ref().and_then(Success::by_status)
            {
                Some(Success::Yes) => self.end(BodyEnd::Succeeded),
                Some(_) => self.end(BodyEnd::Failed),
                None => {}
            },
            Poll::Pending => {}
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
        self.end(if std::thread::panicking() { BodyEnd::Failed } else { BodyEnd::Plain });
    }
}
