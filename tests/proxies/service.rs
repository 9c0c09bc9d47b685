//! The service that stands behind the proxies.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use support::Server;
use support::body_count::{BodyCounts, counted};
use support::wire::{Answer, Upload, Wire};
use tollgate::testing::ManualClock;
use tollgate::{HttpOptions, Limiter, MemoryBackend, rate_limit};

/// Says which server answers. Varnish would keep it for others if it could.
#[rate_limit(3, per = minute)]
async fn hello(State(server): State<usize>) -> impl IntoResponse {
    ([(CACHE_CONTROL, "no-store")], server.to_string())
}

#[rate_limit(1, per = minute)]
async fn upload(_: Bytes) {}

async fn peer(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> String {
    peer.to_string()
}

/// Servers with one limiter.
pub(crate) struct Service {
    pub(crate) servers: Vec<Server>,
    /// How much was read of each body.
    pub(crate) counts: Vec<BodyCounts>,
}

impl Service {
    /// Starts so many servers. The proxies are trusted.
    pub(crate) async fn start(servers: usize, http: HttpOptions) -> Self {
        let backend = MemoryBackend::builder().clock(ManualClock::new()).build();
        let http = http.trusted_proxies(["127.0.0.1"]).unwrap();
        let limiter = Limiter::builder(backend).http(http).build();
        let mut service = Self { servers: Vec::new(), counts: Vec::new() };
        for number in 0..servers {
            let router = Router::new()
                .route("/hello", get(hello))
                .route("/upload", post(upload))
                .route("/peer", get(peer))
                .with_state(number);
            let (router, counts) = counted(router);
            service.servers.push(Server::start(router, &limiter).await);
            service.counts.push(counts);
        }
        service
    }

    pub(crate) fn ports(&self) -> Vec<u16> {
        self.servers.iter().map(|server| server.address.port()).collect()
    }

    pub(crate) async fn stop(self) {
        for server in self.servers {
            server.stop().await;
        }
    }
}

/// Asks for `/hello`, with further header lines.
pub(crate) async fn ask(from: IpAddr, to: SocketAddr, lines: &[String]) -> Answer {
    let mut wire = Wire::connect(from, to).await;
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("GET /hello HTTP/1.1\r\nHost: localhost\r\n{lines}");
    wire.send(format!("{head}Connection: close\r\n\r\n")).await;
    wire.answer().await.unwrap()
}

/// Uses up what a client may upload.
pub(crate) async fn use_up(from: IpAddr, to: SocketAddr) {
    let upload = Upload { from, to, path: "/upload", bytes: 1, expects: false };
    assert_eq!(upload.send().await.unwrap().status, 200);
    assert_eq!(upload.send().await.unwrap().status, 429);
}
