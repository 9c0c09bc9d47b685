//! What a process serves over HTTP.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tollgate::{Dashboard, Key, RateLimitLayer, Usage};

use crate::events::{Event, now};
use crate::lanes::Does;
use crate::worker::Worker;

/// The time by which a permit may be free before its request's end is noticed here.
const TOLERANCE: u64 = 50_000;

pub(crate) async fn serve(worker: Arc<Worker>) {
    let layer = |path: &str| {
        let lane = worker.lanes.iter().find(|lane| {
            lane.does
                == Does::Serve(match path {
                    "/plain" => "/plain",
                    "/fails" => "/fails",
                    "/door" => "/door",
                    "/stream" => "/stream",
                    _ => "/usage",
                })
        });
        RateLimitLayer::new(lane.unwrap().policy.clone())
            .key(Key::header("x-subject"))
            .limiter(worker.limiter.clone())
    };
    let routes = Router::new()
        .route("/plain", get(plain).layer(layer("/plain")))
        .route("/fails", get(fails).layer(layer("/fails").refund_if_failure()))
        .route("/door", get(plain).layer(layer("/door").wait(Duration::from_secs(1))))
        .route("/stream", get(stream).layer(layer("/stream")))
        .route("/usage", get(usage).layer(layer("/usage").cost(2).settle_usage()))
        .with_state(worker.clone())
        .nest("/dashboard", Dashboard::new(worker.limiter.clone()).into_router())
        .layer(worker.limiter.layer());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, service).into_future());
    worker.tell(Event::Listens { worker: worker.number, port });
}

async fn plain() -> &'static str {
    sleep(Duration::from_millis(2)).await;
    "done\n"
}

async fn fails(headers: HeaderMap) -> StatusCode {
    sleep(Duration::from_millis(5)).await;
    let fails = headers.contains_key("x-fails");
    if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
}

async fn usage(usage: Usage, headers: HeaderMap) -> &'static str {
    let units = headers.get("x-units").and_then(|units| units.to_str().ok()?.parse().ok());
    usage.add(units.unwrap_or(2));
    "done\n"
}

/// Tells that a request ends, however it does.
struct Held {
    worker: Arc<Worker>,
    lane: usize,
    subject: u64,
    id: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let Self { lane, subject, id, .. } = *self;
        self.worker.tell(Event::Frees { lane, subject, id, at: now() - TOLERANCE });
    }
}

async fn stream(State(worker): State<Arc<Worker>>, headers: HeaderMap) -> Body {
    let lane = worker.lanes.iter().position(|lane| lane.does == Does::Serve("/stream")).unwrap();
    let subject = headers["x-subject"].to_str().unwrap().parse().unwrap();
    let (id, number) = (worker.id(), worker.number);
    worker.tell(Event::Holds { lane, subject, id, worker: number, at: now() });
    let held = Held { worker, lane, subject, id };
    Body::from_stream(futures_util::stream::unfold((0, held), async |(chunk, held)| {
        if chunk == 5 {
            return None;
        }
        sleep(Duration::from_millis(100)).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b"chunk\n")), (chunk + 1, held)))
    }))
}
