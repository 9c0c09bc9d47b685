//! The same over HTTP: a layer in front of a handler, over sockets, with clients that hang up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tollgate::{InFlight, Key, Limiter, Policy, Quota, RateLimitLayer};

use super::dice::Dice;
use super::instance::Run;
use super::judge::Judge;

const WINDOW: Duration = Duration::from_secs(2);
const LIMIT: u32 = 10;
const USERS: u64 = 10;

pub(crate) fn judge() -> Judge {
    Judge::new("over HTTP", LIMIT.into(), WINDOW)
}

/// Serves with this limiter, and returns the address.
pub(crate) async fn serve(limiter: &Limiter) -> SocketAddr {
    let policy = Policy::new("over HTTP", Quota::new(LIMIT, WINDOW));
    let policy = policy.in_flight(InFlight::new(8).hold(Duration::from_secs(30)));
    let limit = RateLimitLayer::new(policy).key(Key::header("x-user"));
    let handler = |body: String| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        body
    };
    let app = Router::new().route("/", post(handler)).layer(limit).layer(limiter.layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// Sends requests until the end. Some clients go before they have sent everything, and some before
/// they have read the answer.
pub(crate) async fn send(run: Arc<Run>, address: SocketAddr, mut dice: Dice) {
    while !run.stop.load(Ordering::Relaxed) {
        let user = dice.roll(USERS);
        let manner = dice.roll(10);
        let asked = Instant::now();
        let status = request(address, user, manner).await;
        let judge = &run.http;
        match status.map(StatusCode::from_u16) {
            Some(Ok(StatusCode::OK)) => {
                judge.counts.admitted.fetch_add(1, Ordering::Relaxed);
                judge.admitted(user, asked, 1);
            }
            Some(Ok(StatusCode::TOO_MANY_REQUESTS)) => {
                judge.counts.refused.fetch_add(1, Ordering::Relaxed);
            }
            Some(Ok(StatusCode::SERVICE_UNAVAILABLE)) => {
                judge.counts.unknown.fetch_add(1, Ordering::Relaxed);
            }
            None if manner < 2 => {
                judge.counts.given_up.fetch_add(1, Ordering::Relaxed);
            }
            other => judge.violated(format!("answered {other:?}")),
        }
        tokio::time::sleep(Duration::from_millis(10 + dice.roll(30))).await;
    }
}

/// Returns the status; `None` if the client goes before it has read it.
async fn request(address: SocketAddr, user: u64, manner: u64) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: soak\r\nx-user: {user}\r\nconnection: close\r\n\
         content-length: 4\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(if manner == 0 { b"bo" } else { b"body" }).await.unwrap();
    if manner < 2 {
        tokio::time::sleep(Duration::from_millis(3)).await;
        return None;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    Some(answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer}")).parse().unwrap())
}
