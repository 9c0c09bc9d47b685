//! The body of a refused request, which is read on after the refusal, so that the refusal arrives.
//!
//! A client or a proxy that is sending a large body may read the response only after it has sent
//! everything. If the server closed the connection before that, the kernel would reset it, and the
//! refusal would be lost.

use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Version};
use axum::response::Response;
use bytes::Buf as _;
use http_body::{Frame, SizeHint};
use tokio::runtime::{Builder, Handle};

use crate::clock::first_of;
use crate::response::RefusedBody;

/// Reads the rest of a refused request's body after `response` has been sent, within the limits.
/// The connection of HTTP/1 is closed after the response, unless the whole body is there already.
/// A later version of HTTP ends the request alone, without a need to read its body.
#[inline]
pub(super) fn discard_after<B>(parts: &Parts, body: B, limits: RefusedBody, response: &mut Response)
where
    B: HttpBody + Send + 'static,
{
    if parts.version > Version::HTTP_11 || body.is_end_stream() {
        return;
    }
    let mut rest = Rest::new(body, limits.max_bytes);
    // A server asks a client that expects 100-continue to go on as soon as the body is read.
    let read = if parts.headers.contains_key(EXPECT) {
        Poll::Pending
    } else {
        rest.poll_read(&mut Context::from_waker(Waker::noop()))
    };
    if matches!(read, Poll::Ready(Read::All)) {
        return;
    }
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    // hyper would add `keep-alive` to a response of HTTP/1.1 for a client that asks for that by
    // HTTP/1.0.
    *response.version_mut() = parts.version;
    if read.is_pending() {
        let discard: Discard = Box::pin(async move {
            let read = std::future::poll_fn(|context| rest.poll_read(context));
            first_of(read, sleep(limits.max_time)).await;
        });
        let body = std::mem::take(response.body_mut());
        *response.body_mut() = Body::new(RefusalBody { body, discard: Some(discard) });
    }
}

/// The part of a request's body that has not been read.
struct Rest<B> {
    body: Pin<Box<B>>,
    /// The number of bytes that may still be read.
    max_bytes: u64,
    /// An estimate of the largest frame that may come next.
    max_frame: u64,
}

/// The result of the reading of a body.
enum Read {
    /// The whole body has been read.
    All,
    /// The body is too long, or it is broken.
    Part,
}

impl<B: HttpBody> Rest<B> {
    fn new(body: B, max_bytes: u64) -> Self {
        Self { body: Box::pin(body), max_bytes, max_frame: 16 * 1024 }
    }

    /// Reads the body and discards it, until it ends or the next frame could exceed the limit.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Read> {
        while !self.body.is_end_stream() {
            let rest = self.body.size_hint().upper().unwrap_or(u64::MAX);
            if rest.min(self.max_frame) > self.max_bytes {
                return Poll::Ready(Read::Part);
            }
            match ready!(self.body.as_mut().poll_frame(context)) {
                Some(Ok(frame)) => {
                    let len = frame.data_ref().map_or(0, |data| data.remaining()) as u64;
                    self.max_bytes = self.max_bytes.saturating_sub(len);
                    self.max_frame = self.max_frame.max(larger_frame(len));
                }
                Some(Err(_)) => return Poll::Ready(Read::Part),
                None => break,
            }
        }
        Poll::Ready(Read::All)
    }
}

/// Returns the length of the largest frame that may follow one of `len` bytes. hyper doubles its
/// buffer when a client fills it, up to less than 512 KiB.
fn larger_frame(len: u64) -> u64 {
    len.max(len.saturating_mul(2).min(512 * 1024))
}

type Discard = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body of a refusal. When the server polls it, the head of the refusal is on its way, and the
/// reading of the request's body begins. If it began before, the server would first ask a client
/// that expects 100-continue to go on. If it began later, a client that reads nothing before it has
/// sent everything could not receive a long refusal.
struct RefusalBody {
    body: Body,
    /// The reading of the request's body, until it has begun.
    discard: Option<Discard>,
}

impl RefusalBody {
    fn begin_to_discard(&mut self) {
        if let (Some(discard), Ok(runtime)) = (self.discard.take(), Handle::try_current()) {
            runtime.spawn(discard);
        }
    }
}

/// A server does not poll a refusal without a body, or one that answers HEAD, but drops it.
impl Drop for RefusalBody {
    fn drop(&mut self) {
        self.begin_to_discard();
    }
}

impl HttpBody for RefusalBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.begin_to_discard();
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Waits for `duration`, also in a runtime whose time driver is not enabled. There
/// [`tokio::time::sleep`] alone would panic, and nothing tells beforehand that it would. Returns at
/// once if the system has no thread left.
async fn sleep(duration: Duration) {
    let Some(timers) = &*TIMERS else { return };
    let sleep = {
        let _entered = timers.enter();
        tokio::time::sleep(duration)
    };
    sleep.await;
}

/// A runtime for timers alone, on a thread of its own. It starts when a refused body is first
/// waited for.
static TIMERS: LazyLock<Option<Handle>> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_time().build().ok()?;
    let handle = runtime.handle().clone();
    let thread = std::thread::Builder::new().name("tollgate-timers".to_owned());
    thread.spawn(move || runtime.block_on(std::future::pending::<()>())).ok()?;
    Some(handle)
});
