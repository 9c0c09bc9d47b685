//! The units that a request has come to: counted by its handler or its stream, and settled once, at
//! the end, whatever that is.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http_body::Frame;
use support::{get as request, local};
use tollgate::testing::limiter;
use tollgate::{Limiter, Outcome, Policy, Quota, RateLimitLayer, Usage};
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;

const LIMIT: u32 = 1_000;
const RESERVE: u32 = 100;
/// The address of all requests.
const CLIENT: &str = "192.0.2.1";
const TOKENS: Policy = Policy::new("tokens", Quota::per_hour(LIMIT));

/// What a handler does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Responds without adding anything.
    AddNothing,
    Add(u32),
    /// Adds units, and responds with an error.
    AddAndFail(u32),
    AddAndPanic(u32),
    /// Adds units, and never responds.
    AddAndWait(u32),
    /// Streams chunks, of which each adds units.
    Stream(usize, u32),
    /// The same, but the stream fails after the last chunk.
    Break(usize, u32),
    /// Switches to another protocol, and adds units later.
    Upgrade,
}

/// A body of chunks, of which each adds units.
struct Chunks {
    usage: Usage,
    left: usize,
    units: u32,
    breaks: bool,
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            let error = || Err(std::io::Error::other("broken"));
            return Poll::Ready(std::mem::take(&mut self.breaks).then(error));
        }
        self.left -= 1;
        self.usage.add(self.units);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"chunk")))))
    }
}

/// The usage of the last request, which a task behind the handler keeps.
type Kept = Arc<Mutex<Option<Usage>>>;

async fn act(
    Extension(act): Extension<Act>,
    Extension(kept): Extension<Kept>,
    usage: Usage,
) -> Response {
    *kept.lock().unwrap() = Some(usage.clone());
    let chunks =
        |left, units, breaks| Body::new(Chunks { usage: usage.clone(), left, units, breaks });
    match act {
        Act::AddNothing => "done".into_response(),
        Act::Add(units) => {
            usage.add(units / 2);
            usage.add(units - units / 2);
            "done".into_response()
        }
        Act::AddAndFail(units) => {
            usage.add(units);
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Act::AddAndPanic(units) => {
            usage.add(units);
            panic!("as it should");
        }
        Act::AddAndWait(units) => {
            usage.add(units);
            std::future::pending().await
        }
        Act::Stream(left, units) => chunks(left, units, false).into_response(),
        Act::Break(left, units) => chunks(left, units, true).into_response(),
        Act::Upgrade => StatusCode::SWITCHING_PROTOCOLS.into_response(),
    }
}

struct Case {
    router: Router,
    limiter: Limiter,
    kept: Kept,
}

impl Case {
    fn new(of: Act) -> Self {
        let (limiter, _clock) = limiter();
        let kept = Kept::default();
        let layer = RateLimitLayer::new(TOKENS).cost(RESERVE).settle_usage();
        let router = Router::new()
            .route("/", get(act))
            .layer(layer)
            .layer(Extension(of))
            .layer(Extension(kept.clone()))
            .layer(CatchPanicLayer::new());
        Self { router: local(router, &limiter), limiter, kept }
    }

    async fn call(&self) -> Response {
        self.router.clone().oneshot(request("/")).await.unwrap()
    }

    async fn used(&self) -> u32 {
        LIMIT - self.limiter.peek(&TOKENS, CLIENT, 0).await.unwrap().remaining()
    }
}

#[tokio::test]
async fn a_request_is_charged_what_it_came_to_however_it_ends() {
    let cases = [
        (Act::AddNothing, RESERVE),
        (Act::Add(0), 0),
        (Act::Add(30), 30),
        (Act::Add(RESERVE), RESERVE),
        (Act::Add(400), 400),
        (Act::AddAndFail(40), 40),
        (Act::AddAndPanic(50), 50),
        (Act::Stream(0, 7), RESERVE),
        (Act::Stream(3, 7), 21),
        (Act::Stream(3, 200), 600),
        (Act::Break(2, 9), 18),
    ];
    for (act, expected) in cases {
        let case = Case::new(act);
        let response = case.call().await;
        let _ = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        assert_eq!(case.used().await, expected, "{act:?}");
        // What a task adds later has come too late.
        case.kept.lock().unwrap().take().unwrap().add(5);
        assert_eq!(case.used().await, expected, "{act:?}");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_pays_for_what_it_was_sent() {
    let case = Case::new(Act::Stream(9, 20));
    let mut body = case.call().await.into_body();
    for _ in 0..2 {
        std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
    }
    // The reserve stays charged until the end.
    assert_eq!(case.used().await, RESERVE);
    drop(body);
    assert_eq!(case.used().await, 40);
}

#[tokio::test]
async fn a_call_that_is_dropped_before_its_response_pays_for_what_it_used() {
    for (units, expected) in [(0, 0), (70, 70), (300, 300)] {
        let case = Case::new(Act::AddAndWait(units));
        let mut call = Box::pin(case.call());
        let polled = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        assert!(polled.is_pending());
        assert_eq!(case.used().await, RESERVE);
        drop(call);
        assert_eq!(case.used().await, expected);
    }
}

#[tokio::test]
async fn a_switched_protocol_pays_when_its_connection_is_over() {
    let case = Case::new(Act::Upgrade);
    drop(case.call().await);
    let usage = case.kept.lock().unwrap().take().unwrap();
    usage.add(250);
    assert_eq!(case.used().await, RESERVE);
    drop(usage);
    assert_eq!(case.used().await, 250);
}

#[tokio::test]
async fn a_debt_is_worked_off() {
    let case = Case::new(Act::Add(2 * LIMIT));
    drop(case.call().await);
    let refused = case.limiter.peek(&TOKENS, CLIENT, 1).await.unwrap();
    assert!(matches!(refused.outcome(), Outcome::Refused { .. }), "{refused:?}");
    assert_eq!(case.call().await.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_limit_behind_that_refuses_gives_all_back() {
    let (limiter, _clock) = limiter();
    let behind = Policy::new("behind", Quota::per_hour(1));
    let router = Router::new()
        .route("/", get(|usage: Usage| async move { usage.add(10) }))
        .layer(RateLimitLayer::new(behind))
        .layer(RateLimitLayer::new(TOKENS).cost(RESERVE).settle_usage());
    let router = local(router, &limiter);
    let used = async || LIMIT - limiter.peek(&TOKENS, CLIENT, 0).await.unwrap().remaining();
    drop(router.clone().oneshot(request("/")).await.unwrap());
    assert_eq!(used().await, 10);
    let refused = router.clone().oneshot(request("/")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(refused);
    // A refusal behind the layer is a response like any other, so the reserve stays.
    assert_eq!(used().await, 10 + RESERVE);
}

#[tokio::test]
async fn two_limits_settle_at_the_same_usage() {
    let (limiter, _clock) = limiter();
    let hour = Policy::new("hour of two limits", Quota::per_hour(LIMIT));
    let day = Policy::new("day of two limits", Quota::per_day(LIMIT));
    let router = Router::new()
        .route("/", get(|usage: Usage| async move { usage.add(33) }))
        .layer(RateLimitLayer::new(hour.clone()).cost(RESERVE).settle_usage())
        .layer(RateLimitLayer::new(day.clone()).cost(2 * RESERVE).settle_usage())
        // The same policy once more counts nothing twice.
        .layer(RateLimitLayer::new(hour.clone()).cost(RESERVE).settle_usage());
    let router = local(router, &limiter);
    drop(router.oneshot(request("/")).await.unwrap());
    for policy in [&hour, &day] {
        let left = limiter.peek(policy, CLIENT, 0).await.unwrap().remaining();
        assert_eq!(LIMIT - left, 33, "{}", policy.name());
    }
}

#[tokio::test]
async fn a_response_tells_what_it_came_to() {
    let (limiter, _clock) = limiter();
    let status = |response: &Response| u32::from(response.status().as_u16());
    let router = Router::new()
        .route("/", get(|| async { StatusCode::CREATED }))
        .layer(RateLimitLayer::new(TOKENS).cost(RESERVE).settle(status));
    let response = local(router, &limiter).oneshot(request("/")).await.unwrap();
    let left = LIMIT - 201;
    let told = support::header(&response, "ratelimit").unwrap();
    assert!(told.contains(&format!("r={left}")), "{told}");
    assert_eq!(limiter.peek(&TOKENS, CLIENT, 0).await.unwrap().remaining(), left);
}

#[tokio::test]
async fn without_a_limit_usage_counts_for_nobody() {
    let router = Router::new().route(
        "/",
        get(|usage: Usage| async move {
            usage.add(u32::MAX);
            usage.add(1);
            usage.units().to_string()
        }),
    );
    let response = router.oneshot(request("/")).await.unwrap();
    let body = axum::body::to_bytes(response.into_body(), 64).await.unwrap();
    assert_eq!(body, u32::MAX.to_string());
}
