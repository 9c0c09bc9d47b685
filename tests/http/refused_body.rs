//! The body of a refused request over HTTP/1: it is read within bounds, so that the refusal arrives,
//! and nobody is asked to send it.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::Version;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{any, get};
use http_body::Frame;
use support::Server;
use support::body_count::{BodyCounts, counted};
use support::wire::Wire;
use tollgate::http::Refusal;
use tollgate::{
    HttpOptions, Key, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer, rate_limit,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Far longer than anything takes here that does not hang.
const PATIENCE: Duration = Duration::from_secs(20);

#[rate_limit(1, per = hour, key = global)]
async fn by_attribute(_: Bytes) {}

/// Its body is never read.
#[rate_limit(1, per = hour, key = global)]
async fn by_parts() {}

async fn unlimited(_: Bytes) -> &'static str {
    "admitted"
}

const DOORS: [&str; 3] = ["/attribute", "/parts", "/layer"];

/// Lets the connection look for more before a response is sent. If a body had been read by then,
/// its client would be asked to go on.
async fn late(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    tokio::task::yield_now().await;
    response
}

/// A server whose doors are all used up, and the counts of the bodies that it reads.
async fn exhausted(http: HttpOptions) -> (Server, BodyCounts) {
    let policy = Policy::new("refused_body", Quota::new(1, HOUR));
    let router = Router::new()
        .route("/attribute", any(by_attribute))
        .route("/parts", any(by_parts))
        .route("/layer", any(unlimited).layer(RateLimitLayer::new(policy).key(Key::global())))
        .route("/unlimited", get(unlimited));
    let (router, counts) = counted(router.layer(from_fn(late)));
    let limiter = Limiter::builder(MemoryBackend::new()).http(http).build();
    let server = Server::start(router, &limiter).await;
    for door in DOORS {
        let mut wire = connect(&server).await;
        wire.send(format!("GET {door} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(wire.answer().await.unwrap().status, 200, "{door}");
    }
    (server, counts)
}

async fn connect(server: &Server) -> Wire {
    Wire::connect(Ipv4Addr::LOCALHOST.into(), server.address).await
}

/// Long enough for more than the system buffers by itself.
const LENGTH: usize = 1_500_000;

/// A body in chunks, as it is on the wire.
fn in_chunks(body: &[u8]) -> Vec<u8> {
    let chunk =
        |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let mut all: Vec<u8> = body.chunks(100_000).flat_map(chunk).collect();
    all.extend(b"0\r\n\r\n");
    all
}

/// The client reads nothing before it has sent everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_read_and_the_connection_closed() {
    let (server, mut counts) = exhausted(HttpOptions::new()).await;
    let body = vec![b'x'; LENGTH];
    let lengths = [
        (format!("Content-Length: {LENGTH}"), body.clone()),
        ("Transfer-Encoding: chunked".to_owned(), in_chunks(&body)),
    ];
    for door in DOORS {
        for (length, body) in &lengths {
            for (method, version) in
                [("POST", "1.1"), ("GET", "1.1"), ("HEAD", "1.1"), ("POST", "1.0")]
            {
                if version == "1.0" && length.contains("chunked") {
                    // HTTP/1.0 has no chunks.
                    continue;
                }
                let case = format!("{method} {door} HTTP/{version} with {length}");
                let mut wire = connect(&server).await;
                let head = format!("{method} {door} HTTP/{version}\r\nHost: localhost\r\n{length}");
                wire.send(format!("{head}\r\nConnection: keep-alive\r\n\r\n")).await;
                wire.send(body).await;
                let answer = match method {
                    "HEAD" => wire.answer_to_head().await,
                    _ => wire.answer().await,
                };
                let answer = answer.unwrap_or_else(|error| panic!("{case}: {error}"));
                assert_eq!(answer.status, 429, "{case}");
                assert_eq!(answer.field("connection"), Some("close"), "{case}");
                assert_eq!(counts.recv().await, Some(LENGTH as u64), "{case}");
                assert_eq!(wire.closed().await, 0, "{case}");
            }
        }
    }
    server.stop().await;
}

/// What a client sends nevertheless is read, and answered by nothing more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_to_go_on() {
    let (server, mut counts) = exhausted(HttpOptions::new()).await;
    for door in DOORS {
        for (method, length) in [("POST", 11), ("POST", LENGTH), ("GET", LENGTH), ("HEAD", LENGTH)]
        {
            for sends in [false, true] {
                let case = format!("{method} {door}, {length} bytes, sent: {sends}");
                let mut wire = connect(&server).await;
                let head = format!("{method} {door} HTTP/1.1\r\nHost: localhost\r\n");
                let expects = format!("Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n");
                wire.send(head + &expects).await;
                let answer = match method {
                    "HEAD" => wire.answer_to_head().await.unwrap(),
                    _ => wire.answer().await.unwrap(),
                };
                assert_eq!((answer.status, answer.interim), (429, vec![]), "{case}");
                assert!(answer.fields.contains(&("connection".into(), "close".into())), "{case}");
                if sends {
                    wire.send(vec![b'x'; length]).await;
                }
                wire.end().await;
                assert_eq!(wire.closed().await, 0, "{case}");
                let read = if sends { length as u64 } else { 0 };
                assert_eq!(counts.recv().await, Some(read), "{case}");
            }
        }
    }
    server.stop().await;
}

/// There is nothing to wait for, so the client may go on with its connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_there_keeps_the_connection() {
    let (server, _counts) = exhausted(HttpOptions::new()).await;
    for door in DOORS {
        let refused =
            format!("POST {door} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello");
        let last = "GET /unlimited HTTP/1.1\r\nHost: localhost\r\n\r\n";
        for is_pipelined in [false, true] {
            let mut wire = connect(&server).await;
            if is_pipelined {
                wire.send(refused.repeat(3) + last).await;
            }
            for _ in 0..3 {
                if !is_pipelined {
                    wire.send(&refused).await;
                }
                let answer = wire.answer().await.unwrap();
                assert_eq!((answer.status, answer.field("connection")), (429, None), "{door}");
            }
            if !is_pipelined {
                wire.send(last).await;
            }
            assert_eq!(wire.answer().await.unwrap().body, "admitted", "{door}");
        }
    }
    server.stop().await;
}

/// A client that never ends, with a length and in chunks.
#[tokio::test]
async fn no_more_is_read_than_the_bound() {
    let bounds = [
        (HttpOptions::new(), 2 << 20),
        (HttpOptions::new().refused_body(300_000, HOUR), 300_000),
        (HttpOptions::new().refused_body(0, HOUR), 0),
    ];
    for (http, bound) in bounds {
        let (server, mut counts) = exhausted(http).await;
        for door in DOORS {
            for length in ["Content-Length: 1000000000", "Transfer-Encoding: chunked"] {
                let mut wire = connect(&server).await;
                wire.send(format!("POST {door} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n"))
                    .await;
                let answer = wire.answer().await.unwrap();
                assert_eq!((answer.status, answer.field("connection")), (429, Some("close")));
                let chunk = [b"10000\r\n", &[b'x'; 1 << 16][..], b"\r\n"].concat();
                let read = loop {
                    tokio::select! {
                        read = counts.recv() => break read.unwrap(),
                        () = wire.send(&chunk) => {}
                    }
                };
                println!("{door}, {length}: {read} of at most {bound} bytes");
                assert!(read <= bound && read >= bound / 3, "{door}, {length}: {read} bytes");
            }
        }
        server.stop().await;
    }
}

/// The server waits for the bound of time, and ends what a client does not.
#[tokio::test]
async fn a_client_that_stalls_is_left() {
    let http = HttpOptions::new().refused_body(1 << 20, Duration::from_millis(20));
    let (server, mut counts) = exhausted(http).await;
    for door in DOORS {
        let mut wire = connect(&server).await;
        wire.send(format!(
            "POST {door} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
        ))
        .await;
        assert_eq!(wire.answer().await.unwrap().status, 429);
        wire.send("some").await;
        assert_eq!(tokio::time::timeout(PATIENCE, wire.closed()).await, Ok(0), "{door}");
        assert!(counts.recv().await.unwrap() <= 4);
    }
    server.stop().await;
}

/// Timers panic there. The reading would end with the panic, before the body comes.
#[test]
fn a_runtime_without_timers_reads_it_too() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_io();
    builder.build().unwrap().block_on(async {
        let (server, mut counts) = exhausted(HttpOptions::new()).await;
        for door in DOORS {
            let mut wire = connect(&server).await;
            let head = format!("POST {door} HTTP/1.1\r\nHost: localhost\r\n");
            wire.send(format!("{head}Content-Length: {LENGTH}\r\n\r\n")).await;
            assert_eq!(wire.answer().await.unwrap().status, 429);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            wire.send(vec![b'x'; LENGTH]).await;
            assert_eq!(counts.recv().await, Some(LENGTH as u64), "{door}");
        }
        server.stop().await;
    });
}

/// A body that is written piece by piece: more of it than the system buffers by itself.
struct Pieces(usize);

const PIECES: usize = 100;
const PIECE: &[u8] = &[b'x'; 90_000];

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.checked_sub(1).map(|rest| {
            self.0 = rest;
            Ok(Frame::data(Bytes::from_static(PIECE)))
        });
        Poll::Ready(piece)
    }
}

/// The client takes nothing of it before it has sent everything.
#[tokio::test]
async fn a_long_refusal_does_not_wait_for_its_reader() {
    let long = |_: &Refusal<'_>| Body::new(Pieces(PIECES));
    let (server, mut counts) = exhausted(HttpOptions::new().refusal(long)).await;
    for door in DOORS {
        let mut wire = connect(&server).await;
        // By HTTP/1.0 the body ends with the connection.
        let head = format!("POST {door} HTTP/1.0\r\nHost: localhost\r\n");
        wire.send(format!("{head}Content-Length: {LENGTH}\r\n\r\n")).await;
        wire.send(vec![b'x'; LENGTH]).await;
        let read = tokio::time::timeout(PATIENCE, counts.recv()).await;
        assert_eq!(read, Ok(Some(LENGTH as u64)), "{door}");
        assert_eq!(wire.answer().await.unwrap().body.len(), PIECES * PIECE.len(), "{door}");
    }
    server.stop().await;
}

/// Later versions end the request's stream alone, so nothing is read, and nothing said of the
/// connection. (hyper would take such a field away.)
#[tokio::test]
async fn later_versions_say_nothing_of_connections() {
    for version in [Version::HTTP_2, Version::HTTP_3] {
        let (limiter, _clock) = support::limiter();
        let (router, mut counts) = counted(Router::new().route("/parts", any(by_parts)));
        let router = support::local(router, &limiter);
        for expected in [200, 429] {
            let mut request = support::post("/parts", "text/plain", Body::new(Pieces(PIECES)));
            *request.version_mut() = version;
            let response = support::send(&router, request).await;
            assert_eq!(response.status(), expected, "{version:?}");
            assert_eq!(support::header(&response, "connection"), None, "{version:?}");
            drop(response);
            assert_eq!(counts.recv().await, Some(0), "{version:?}");
        }
    }
}
