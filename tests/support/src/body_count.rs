//! Counts what is read of each request's body, outside of all limits.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::map_request;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Says of each body how many bytes were read of it, when it is no longer read.
pub type BodyCounts = UnboundedReceiver<u64>;

/// The router, and the counts of bodies that are not empty.
pub fn counted(router: Router) -> (Router, BodyCounts) {
    let (told, counts) = unbounded_channel();
    let count = move |request: Request| {
        let told = told.clone();
        let request = request.map(|body| {
            if body.is_end_stream() {
                return body;
            }
            Body::new(CountedBody { body, bytes: 0, told })
        });
        std::future::ready(request)
    };
    (router.layer(map_request(count)), counts)
}

struct CountedBody {
    body: Body,
    bytes: u64,
    told: UnboundedSender<u64>,
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        // A test that has ended counts no more.
        let _ = self.told.send(self.bytes);
    }
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
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
