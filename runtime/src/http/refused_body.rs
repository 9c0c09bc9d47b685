//! The body of a refused request, which is read on after the refusal, so that the refusal arrives.
//!
//! A client or a proxy that is sending a large body may read the response only after it has sent
//! everything. If the server closed the connection before that, the kernel would reset it, and the
//! refusal would be lost.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::CONNECTION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Version};
use axum::response::Response;
use bytes::Buf as _;
use http_body::{Frame, SizeHint};
use tokio::runtime::Handle;

use crate::clock::first_of;
use crate::response::RefusedBody;

/// Reads the rest of a refused request's body after `response` has been sent, within the limits.
/// The connection of HTTP/1 is closed after the response. A later version of HTTP ends the request
/// alone, without a need to read its body.
#[inline]
pub(super) fn discard_after<B>(parts: &Parts, body: B, limits: RefusedBody, response: &mut Response)
where
    B: HttpBody + Send + 'static,
{
    if parts.version > Version::HTTP_11 || body.is_end_stream() {
        return;
    }
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let discard: Discard = Box::pin(discard(body, limits));
    let body = std::mem::take(response.body_mut());
    *response.body_mut() = Body::new(RefusalBody { body, discard: Some(discard) });
}

type Discard = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Reads a body and discards it, up to the limits. What is left then is not read.
async fn discard<B: HttpBody>(body: B, limits: RefusedBody) {
    let RefusedBody { max_bytes, max_time } = limits;
    let read = async {
        let mut body = pin!(body);
        let mut bytes = 0_u64;
        while let Some(Ok(frame)) =
            std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await
        {
            let len = frame.data_ref().map_or(0, |data| data.remaining());
            bytes = bytes.saturating_add(len as u64);
            if bytes >= max_bytes {
                return;
            }
        }
    };
    first_of(read, tokio::time::sleep(max_time)).await;
}

/// The body of a refusal. When the server drops it, the refusal is on its way, and the reading of
/// the request's body begins. If it began before, the server would first ask a client that sent
/// `Expect: 100-continue` to go on.
struct RefusalBody {
    body: Body,
    discard: Option<Discard>,
}

impl Drop for RefusalBody {
    fn drop(&mut self) {
        if let (Some(discard), Ok(runtime)) = (self.discard.take(), Handle::try_current()) {
            runtime.spawn(discard);
        }
    }
}

impl HttpBody for RefusalBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
