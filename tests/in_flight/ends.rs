//! The end of a request: whatever it is, the permit is released then, and not before.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequestParts, State, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use http_body::Frame;
use support::redis::RedisServer;
use support::{Server, local, send, status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tollgate::{
    InFlight, Key, Limiter, LocalTier, MemoryBackend, Permit, Policy, Quota, RateLimitLayer,
    RateLimited, RedisBackend, rate_limit,
};
use tower_http::catch_panic::CatchPanicLayer;

/// A way in which a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The handler responds with this status, and the body is read.
    Responds(u16),
    /// The handler responds without a body.
    RespondsEmpty,
    /// An extractor rejects the request.
    Rejects,
    /// The handler panics, and a layer outside of the limit catches that.
    Panics,
    /// A layer outside of the limit stops waiting.
    TimesOut,
    /// The client closes its connection while the handler waits.
    ClientGoes,
    /// The client closes its connection in the middle of the body.
    ClientGoesInTheBody,
    /// The response's body fails after its head was sent.
    BodyBreaks,
    /// The response is dropped unread.
    BodyIsDropped,
    /// Whoever has called the router drops the future.
    IsDropped,
    /// A limit behind this one refuses the request.
    IsRefusedBehind,
    /// The permit goes into a task, which ends later than the response.
    GoesOnInATask,
}

const ENDS: [End; 13] = [
    End::Responds(200),
    End::Responds(500),
    End::RespondsEmpty,
    End::Rejects,
    End::Panics,
    End::TimesOut,
    End::ClientGoes,
    End::ClientGoesInTheBody,
    End::BodyBreaks,
    End::BodyIsDropped,
    End::IsDropped,
    End::IsRefusedBehind,
    End::GoesOnInATask,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Attribute,
    /// The attribute beside a limit per period.
    BesideARate,
    /// The attribute with a key of arguments and the address, which is checked after the extractors.
    Tuple,
    /// The attribute with a `wait`.
    Waits,
    Layer,
    /// A limited function that a handler calls.
    Function,
}

const DOORS: [Door; 6] =
    [Door::Attribute, Door::BesideARate, Door::Tuple, Door::Waits, Door::Layer, Door::Function];

/// What a test and the handler tell each other.
#[derive(Clone, Default)]
struct Signals {
    waits: Arc<Notify>,
    goes_on: Arc<Notify>,
    is_dropped: Arc<Notify>,
}

/// Tells when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A body that fails after its first word, or never ends.
struct Streamed {
    has_begun: bool,
    breaks: bool,
    _dropped: Dropped,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"some")))));
        }
        if self.breaks {
            return Poll::Ready(Some(Err(std::io::Error::other("the source has gone"))));
        }
        Poll::Pending
    }
}

/// Rejects requests without credentials.
struct Auth;

impl<S: Sync> FromRequestParts<S> for Auth {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.headers.contains_key("authorization").then_some(Self).ok_or(StatusCode::UNAUTHORIZED)
    }
}

async fn work(end: End, signals: Signals, permit: Permit) -> Response {
    match end {
        End::Responds(status) => (StatusCode::from_u16(status).unwrap(), "a body").into_response(),
        End::RespondsEmpty | End::Rejects | End::IsRefusedBehind => {
            StatusCode::NO_CONTENT.into_response()
        }
        End::Panics => panic!("as the test asks"),
        End::TimesOut | End::ClientGoes | End::IsDropped => {
            let _dropped = Dropped(signals.is_dropped);
            signals.waits.notify_one();
            std::future::pending().await
        }
        End::BodyBreaks | End::BodyIsDropped | End::ClientGoesInTheBody => {
            let breaks = end == End::BodyBreaks;
            let dropped = Dropped(signals.is_dropped);
            Body::new(Streamed { has_begun: false, breaks, _dropped: dropped }).into_response()
        }
        End::GoesOnInATask => {
            tokio::spawn(async move {
                let _permit = permit;
                signals.goes_on.notified().await;
            });
            "later".into_response()
        }
    }
}

#[rate_limit(in_flight = 1, name = "ends")]
async fn attribute(
    Extension(end): Extension<End>,
    Extension(signals): Extension<Signals>,
    permit: Permit,
    _: Auth,
) -> Response {
    work(end, signals, permit).await
}

#[rate_limit(100, per = minute, in_flight = 1, hold = "30s", name = "ends beside")]
async fn beside_a_rate(
    Extension(end): Extension<End>,
    Extension(signals): Extension<Signals>,
    permit: Permit,
    _: Auth,
) -> Response {
    work(end, signals, permit).await
}

#[rate_limit(in_flight = 1, key = (args("192.0.2.1"), ip), name = "ends of a tuple")]
async fn tuple(
    Extension(end): Extension<End>,
    Extension(signals): Extension<Signals>,
    permit: Permit,
    _: Auth,
) -> Response {
    work(end, signals, permit).await
}

#[rate_limit(in_flight = 1, wait = "1s", name = "ends that wait")]
async fn waits(
    Extension(end): Extension<End>,
    Extension(signals): Extension<Signals>,
    permit: Permit,
    _: Auth,
) -> Response {
    work(end, signals, permit).await
}

#[rate_limit(in_flight = 1, key = args(), name = "ends of a function")]
async fn limited_work(end: End, signals: Signals) -> Result<Response, RateLimited> {
    if end == End::GoesOnInATask {
        // The permit of a function ends with its future, so the work is in it.
        signals.goes_on.notified().await;
        return Ok("later".into_response());
    }
    Ok(work(end, signals, Permit::default()).await)
}

async fn calls(
    Extension(end): Extension<End>,
    Extension(signals): Extension<Signals>,
    _: Auth,
) -> Result<Response, RateLimited> {
    limited_work(end, signals).await
}

async fn plain(
    Extension(end): Extension<End>,
    Extension(signals): Extension<Signals>,
    permit: Permit,
    _: Auth,
) -> Response {
    work(end, signals, permit).await
}

fn layer() -> RateLimitLayer {
    RateLimitLayer::new(Policy::in_flight_only("ends of a layer", InFlight::new(1)))
}

fn router(door: Door) -> Router {
    let route = match door {
        Door::Attribute => post(attribute),
        Door::BesideARate => post(beside_a_rate),
        Door::Tuple => post(tuple),
        Door::Waits => post(waits),
        Door::Layer => post(plain).layer(layer()),
        Door::Function => post(calls),
    };
    Router::new().route("/", route)
}

/// A limit behind the others that has nothing left.
fn refuses() -> RateLimitLayer {
    RateLimitLayer::new(Policy::new("nothing left", Quota::BLOCKED)).key(Key::global())
}

/// Answers in place of a handler that waits.
async fn time_out(State(signals): State<Signals>, request: Request<Body>, next: Next) -> Response {
    tokio::select! {
        response = next.run(request) => response,
        () = signals.waits.notified() => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

fn request(end: End) -> Request<Body> {
    let request = Request::post("/");
    let request =
        if end == End::Rejects { request } else { request.header("authorization", "any") };
    request.body(Body::empty()).unwrap()
}

fn app(door: Door, end: End, signals: &Signals) -> Router {
    let mut app = match (door, end) {
        // The limit behind is inside of the layer, and in front of the handler.
        (Door::Layer, End::IsRefusedBehind) => {
            Router::new().route("/", post(plain)).layer(refuses()).layer(layer())
        }
        _ => router(door),
    };
    app = app.layer(Extension(end)).layer(Extension(signals.clone()));
    app = app.layer(CatchPanicLayer::new());
    if end == End::TimesOut {
        app = app.layer(middleware::from_fn_with_state(signals.clone(), time_out));
    }
    app
}

async fn check(door: Door, end: End, limiter: &Limiter) {
    let cell = format!("{door:?}, {end:?}");
    let held = || limiter.stats().in_flight;
    let signals = Signals::default();
    let app = app(door, end, &signals);
    // The work of a function ends with its call, before the response has a body.
    let is_held = u64::from(door != Door::Function);
    match end {
        End::ClientGoes | End::ClientGoesInTheBody => {
            let peer = std::net::SocketAddr::from(([192, 0, 2, 1], 4711));
            let app = app.layer(Extension(axum::extract::ConnectInfo(peer)));
            let server = Server::start(app, limiter).await;
            let mut client = TcpStream::connect(server.address).await.unwrap();
            let head = "POST / HTTP/1.1\r\nhost: a\r\nauthorization: any\r\n\
                        content-length: 0\r\n\r\n";
            client.write_all(head.as_bytes()).await.unwrap();
            if end == End::ClientGoes {
                signals.waits.notified().await;
                assert_eq!(held(), 1, "{cell}");
            } else {
                let mut read = Vec::new();
                while !read.ends_with(b"some\r\n") {
                    read.push(client.read_u8().await.unwrap());
                }
                assert_eq!(held(), is_held, "{cell}");
            }
            drop(client);
            signals.is_dropped.notified().await;
            server.stop().await;
        }
        End::IsDropped => {
            let app = local(app, limiter);
            tokio::select! {
                _ = send(&app, request(end)) => panic!("it has responded"),
                () = signals.waits.notified() => {}
            }
        }
        End::BodyIsDropped => {
            let response = send(&local(app, limiter), request(end)).await;
            assert_eq!(held(), is_held, "{cell}");
            drop(response);
        }
        End::GoesOnInATask if door != Door::Function => {
            let response = send(&local(app, limiter), request(end)).await;
            let _ = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            assert_eq!(held(), 1, "{cell}");
            signals.goes_on.notify_one();
            while held() > 0 {
                tokio::task::yield_now().await;
            }
        }
        _ => {
            signals.goes_on.notify_one();
            let response = send(&local(app, limiter), request(end)).await;
            let has_body = !response.body().is_end_stream();
            let is_held = has_body && is_of_the_limit(door, end);
            assert_eq!(held(), u64::from(is_held), "{cell}");
            drop(axum::body::to_bytes(response.into_body(), 1 << 20).await);
        }
    }
    assert_eq!(held(), 0, "{cell}");
}

/// Returns `true` if the response comes from within the limit.
fn is_of_the_limit(door: Door, end: End) -> bool {
    match end {
        End::Panics | End::TimesOut => false,
        End::Rejects => !matches!(door, Door::Function | Door::Tuple),
        _ => door != Door::Function,
    }
}

async fn all_ends(limiter: impl Fn(usize) -> Limiter) {
    let cells = DOORS.into_iter().flat_map(|door| ENDS.map(|end| (door, end)));
    for (number, (door, end)) in cells.enumerate() {
        let limiter = limiter(number);
        check(door, end, &limiter).await;
        limiter.close().await;
    }
}

#[tokio::test]
async fn in_memory() {
    all_ends(|_| Limiter::new(MemoryBackend::new())).await;
}

#[tokio::test]
async fn on_redis() {
    let server = RedisServer::start();
    all_ends(|number| {
        let backend = RedisBackend::builder(&server.url()).key_prefix(format!("cell-{number}:"));
        let backend = backend.deadline(Duration::from_secs(20)).build().unwrap();
        Limiter::builder(backend).local_tier(LocalTier::none()).build()
    })
    .await;
    // Closing has told the server of the last releases.
    let keys: Vec<String> = server.ask("KEYS *{*");
    assert_eq!(keys, [""; 0]);
}

#[rate_limit(in_flight = 1, name = "sockets")]
async fn socket(
    permit: Permit,
    Extension(signals): Extension<Signals>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(move |mut socket| async move {
        let _permit = permit;
        while let Some(Ok(_)) = socket.recv().await {}
        signals.waits.notify_one();
    })
}

/// The permit of a WebSocket is held until the socket has ended.
#[tokio::test]
async fn a_socket_holds_its_permit() {
    let limiter = Limiter::new(MemoryBackend::new());
    let signals = Signals::default();
    let app = Router::new().route("/", get(socket)).layer(Extension(signals.clone()));
    let server = Server::start(app, &limiter).await;
    let head = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    assert_eq!(limiter.stats().in_flight, 1);
    let mut other = TcpStream::connect(server.address).await.unwrap();
    other.write_all(head.as_bytes()).await.unwrap();
    other.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 429");
    drop(client);
    signals.waits.notified().await;
    while limiter.stats().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    drop(other);
    server.stop().await;
}

/// A request whose permits come from two layers and a handler holds all of them.
#[tokio::test]
async fn permits_of_several_limits_end_together() {
    let limiter = Limiter::new(MemoryBackend::new());
    let global = Policy::in_flight_only("all of them", InFlight::new(5));
    let (end, signals) = (End::Responds(200), Signals::default());
    let app = router(Door::Attribute)
        .layer(layer())
        .layer(RateLimitLayer::new(global).key(Key::global()))
        .layer(Extension(end))
        .layer(Extension(signals));
    let app = local(app, &limiter);
    let response = send(&app, request(end)).await;
    assert_eq!((response.status(), limiter.stats().in_flight), (StatusCode::OK, 3));
    // The layer's own is taken, and what the outer one had given is given back.
    assert_eq!(status(&app, request(end)).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limiter.stats().in_flight, 3);
    drop(response);
    assert_eq!(limiter.stats().in_flight, 0);
    assert_eq!(status(&app, request(end)).await, StatusCode::OK);
}

/// A request that meets the same policy at two layers holds one permit, also if it costs more at the
/// second.
#[tokio::test]
async fn a_request_holds_one_permit_of_a_policy() {
    let in_flight = InFlight::new(1);
    for policy in [
        Policy::in_flight_only("met twice, alone", in_flight),
        Policy::new("met twice", Quota::per_minute(10)).in_flight(in_flight),
    ] {
        for wait in [false, true] {
            let limiter = Limiter::new(MemoryBackend::new());
            let inner = RateLimitLayer::new(policy.clone()).cost(2);
            let inner = if wait { inner.wait(Duration::from_secs(1)) } else { inner };
            let app = Router::new()
                .route("/", post(plain))
                .layer(inner)
                .layer(RateLimitLayer::new(policy.clone()))
                .layer(Extension(End::Responds(200)))
                .layer(Extension(Signals::default()));
            let app = local(app, &limiter);
            for _ in 0..3 {
                let response = send(&app, request(End::Responds(200))).await;
                assert_eq!((response.status(), limiter.stats().in_flight), (StatusCode::OK, 1));
            }
            assert_eq!(limiter.stats().in_flight, 0);
            let left = limiter.peek(&policy, "192.0.2.1", 0).await.unwrap().remaining();
            // Of the ten units, four are left, so the permit is the least.
            assert_eq!(left, 1);
        }
    }
}
