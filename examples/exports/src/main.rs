//! Answers that take long: so many of them at a time for each client, until the last byte is sent.
//!
//! ```console
//! cargo run -p exports
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, WebSocketUpgrade};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{Stream, unfold};
use tollgate::{Limiter, MemoryBackend, Permit, get_limiter, rate_limit, set_limiter};

/// The time that a row of an export takes, and the time between two events.
const PACE: Duration = Duration::from_millis(100);

/// Each client address has two exports at a time. A third one waits up to 5 seconds until one of them
/// has ended: its last row is sent, or its client has gone.
#[rate_limit(in_flight = 2, wait = "5s")]
async fn export(Path(rows): Path<u32>) -> Response {
    let rows = numbers(rows, |row| Ok::<_, Infallible>(Bytes::from(format!("row {row}\n"))));
    Body::from_stream(rows).into_response()
}

/// Two streams of events at a time, and 20 new ones a minute: one decision. The response's body is the
/// stream, so nothing is to be done to hold the permit until that ends.
#[rate_limit(20, per = minute, in_flight = 2)]
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(numbers(u32::MAX, |number| Ok(Event::default().data(number.to_string()))))
}

/// One WebSocket at a time. The response that switches protocols has no body, and ends long before the
/// socket does. So the handler takes the permit, and the task that serves the socket keeps it.
#[rate_limit(in_flight = 1)]
async fn socket(permit: Permit, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        let _permit = permit;
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    })
}

/// Returns a stream of the numbers from 1 to `last`, made into its items by `item`, at the pace of the
/// example.
fn numbers<T>(last: u32, item: impl Fn(u32) -> T) -> impl Stream<Item = T> {
    unfold((0, item), move |(number, item)| async move {
        tokio::time::sleep(PACE).await;
        (number < last).then(|| (item(number + 1), (number + 1, item)))
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let limiter = Limiter::new(MemoryBackend::new());
    limiter.initialize().await?;
    set_limiter(limiter);

    let app = Router::new()
        .route("/export/{rows}", get(export))
        .route("/events", get(events))
        .route("/socket", get(socket));

    let port = match std::env::var("PORT") {
        Ok(port) => port.parse().map_err(|_| format!("PORT is not a port number: {port:?}"))?,
        Err(_) => 3000,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}; try another PORT"))?;
    let address = listener.local_addr()?;
    println!("Listening on http://{address}. Try, three times at once, from other terminals:");
    println!("  curl -i http://{address}/export/30");
    println!("  curl -iN http://{address}/events");

    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    // Streams of events never end, so this does not wait until they do.
    tokio::select! {
        served = async { axum::serve(listener, app).await } => served?,
        () = interrupted() => {}
    }
    get_limiter().close().await;
    println!("Closed.");
    Ok(())
}

/// Returns when the user presses Ctrl-C.
async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        eprintln!("cannot wait for Ctrl-C: {error}; closing now");
    }
}
