//! What the programs in `src/bin` have in common. Each of them makes three calls of a function or of a
//! handler whose limit is 2, beside an attribute of another crate.

use std::net::SocketAddr;
use std::process::exit;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::{Request, StatusCode};
use tollgate::{Limiter, MemoryBackend, RateLimited, set_limiter};
use tower::ServiceExt as _;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// The exit status of a program whose limits do not start.
const DOES_NOT_START: i32 = 2;

/// Starts the limiter, makes the calls with the numbers 1, 2 and 3, and prints how many were admitted and
/// what `note` adds. `call` returns `true` if the call was admitted.
pub async fn run(mut call: impl AsyncFnMut(u32) -> bool, note: impl AsyncFnOnce() -> String) {
    let limiter = Limiter::new(MemoryBackend::new());
    if let Err(error) = limiter.initialize().await {
        println!("{error}");
        exit(DOES_NOT_START);
    }
    set_limiter(limiter);
    let mut admitted = 0;
    for number in 1..=3 {
        admitted += u32::from(call(number).await);
    }
    let note = note().await;
    let note = if note.is_empty() { note } else { format!(": {note}") };
    println!("{admitted} of 3{note}");
    exit(if admitted == 2 { 0 } else { 1 });
}

/// Adds nothing.
pub async fn nothing() -> String {
    String::new()
}

/// Sends a request to the router, and returns `true` unless it is refused.
pub async fn admits(router: &Router, path: &str) -> bool {
    let router = router.clone().layer(MockConnectInfo(SocketAddr::from(([192, 0, 2, 1], 1))));
    let request = Request::get(path).body(Body::empty()).unwrap();
    match router.oneshot(request).await.unwrap().status() {
        StatusCode::OK => true,
        StatusCode::TOO_MANY_REQUESTS => false,
        status => panic!("{status}"),
    }
}

/// An error type of one's own.
#[derive(Debug)]
pub enum Error {
    Limited,
    Own,
}

impl From<RateLimited> for Error {
    fn from(_: RateLimited) -> Self {
        Self::Limited
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Limited => "limited",
            Self::Own => "own",
        })
    }
}

/// Records the spans of `tracing`, each with its fields.
#[derive(Clone, Default)]
pub struct Spans(Arc<Mutex<Vec<String>>>);

impl Spans {
    /// Begins to record.
    pub fn record() -> Self {
        let spans = Self::default();
        let subscriber = tracing_subscriber::registry().with(spans.clone());
        tracing::subscriber::set_global_default(subscriber).unwrap();
        spans
    }

    /// Returns what was recorded.
    pub fn summary(&self) -> String {
        let spans = self.0.lock().unwrap();
        format!("{} spans, the first is `{}`", spans.len(), spans.first().map_or("", |span| span))
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl<S: Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        if !attributes.metadata().target().starts_with("tollgate") {
            let mut fields = Fields(attributes.metadata().name().to_owned());
            attributes.record(&mut fields);
            self.0.lock().unwrap().push(fields.0);
        }
    }
}
