//! What the tests share: a served router, a backend that fails, stores and servers, and the
//! definitions of the algorithms.

#![allow(missing_debug_implementations, missing_docs, reason = "only tests use it")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that panics fails, as it should")]
#![allow(clippy::new_without_default, reason = "tests call `new`, and nothing is generic over it")]

pub mod almanac;
mod alone;
pub mod body_count;
pub mod calendar_bounds;
pub mod calendar_forms;
pub mod calendar_traces;
pub mod climb;
pub mod clock_jumps;
pub mod counts_kept;
pub mod exporter;
pub mod far;
pub mod forms;
pub mod judged;
pub mod lanes;
pub mod line;
pub mod log;
mod process;
pub mod proxies;
pub mod redis;
pub mod reference;
pub mod subject;
pub mod subjects;
pub mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::{Request, Response, StatusCode};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tollgate::backend::{Answer, Operation};
use tollgate::testing::ManualClock;
use tollgate::{Backend, BackendError, Limiter, MemoryBackend};
use tower::ServiceExt as _;

pub use self::alone::is_left_to_a_process_of_its_own;

/// The repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The result of what a store answers at once.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the store made somebody wait"),
    }
}

/// A limiter on a clock that stands still until told otherwise.
pub fn limiter() -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    (Limiter::new(MemoryBackend::builder().clock(clock.clone()).build()), clock)
}

/// The router with a limiter of its own and a client address, for [`send`].
pub fn local(router: Router, limiter: &Limiter) -> Router {
    router.layer(limiter.layer()).layer(MockConnectInfo(SocketAddr::from(([192, 0, 2, 1], 4711))))
}

pub fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

pub fn post(path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", content_type).body(body.into()).unwrap()
}

pub async fn send(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

pub async fn status(router: &Router, request: Request<Body>) -> StatusCode {
    send(router, request).await.status()
}

pub fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

pub async fn text(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub async fn json(response: Response<Body>) -> serde_json::Value {
    serde_json::from_str(&text(response).await).unwrap()
}

/// A router served over a real socket, until it is stopped.
pub struct Server {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub async fn start(router: Router, limiter: &Limiter) -> Self {
        // A thousand connections at once need more files than many a shell allows, and a longer
        // line than is usual: the system resets those for which there is no room in it.
        rlimit::increase_nofile_limit(16_384).unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(4_096).unwrap();
        let address = listener.local_addr().unwrap();
        let service =
            router.layer(limiter.layer()).into_make_service_with_connect_info::<SocketAddr>();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = axum::serve(listener, service).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        Self { address, stop, task: tokio::spawn(server.into_future()) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap().unwrap();
    }
}

/// A backend that is down.
pub struct FailingBackend;

impl Backend for FailingBackend {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        batch.iter().map(|_| Err(BackendError::not_executed("connection refused"))).collect()
    }

    async fn initialize(&self) -> Result<(), BackendError> {
        Err(BackendError::not_executed("connection refused"))
    }
}

/// The memory that this process has, in bytes; 0 where the system does not tell, which is said.
pub fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split(' ').nth(1)?.parse::<usize>().ok());
    pages.map_or_else(
        || {
            println!("this system does not tell the resident memory");
            0
        },
        |pages| pages * 4096,
    )
}

/// How much to test: `TOLLGATE_TEST_SCALE=full` runs the same tests at greater length.
pub fn scaled(quick: u32, full: u32) -> u32 {
    match std::env::var("TOLLGATE_TEST_SCALE").as_deref() {
        Ok("full") => full,
        Ok("quick") | Err(_) => quick,
        Ok(other) => panic!("TOLLGATE_TEST_SCALE is quick or full, not {other:?}"),
    }
}
