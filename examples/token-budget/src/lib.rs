//! A budget of tokens for each user, of answers that are streamed and whose cost is known only at
//! their end, like those of a language model.
//!
//! Each answer charges a reserve first. When it has ended, also because its reader has gone, it is
//! settled at the tokens that it came to.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Path;
use axum::routing::get;
use axum::{Router, http};
use http_body::Frame;
use tollgate::{Key, Policy, Quota, RateLimitLayer, Usage};

/// The tokens of a user in a minute.
pub const BUDGET: u32 = 10_000;
/// The tokens that an answer is expected to take, as long as that is not known.
pub const RESERVE: u32 = 500;
/// The header that names the user. A real service takes the user from a session or a key.
pub const USER: &str = "x-user";

/// The policy of the budget.
pub const TOKENS: Policy = Policy::new("tokens", Quota::per_minute(BUDGET));

/// Returns the service. `GET /answer/3` answers with three words of a hundred tokens each.
pub fn app() -> Router {
    let budget = RateLimitLayer::new(TOKENS).key(Key::header(USER)).cost(RESERVE).settle_usage();
    Router::new().route("/answer/{words}", get(answer)).layer(budget)
}

async fn answer(usage: Usage, Path(words): Path<u32>) -> http::Response<Body> {
    http::Response::new(Body::new(Answer { usage, words }))
}

/// An answer, which tells after each word what that has cost.
struct Answer {
    usage: Usage,
    /// The words that are left.
    words: u32,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.words == 0 {
            return Poll::Ready(None);
        }
        self.words -= 1;
        self.usage.add(100);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"word ")))))
    }
}
