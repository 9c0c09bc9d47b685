//! The shortest whole service: three routes, two of them limited, counted in memory.
//!
//! ```console
//! cargo run -p quickstart
//! ```

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::routing::{get, post};
use tollgate::{Limiter, MemoryBackend, get_limiter, rate_limit, set_limiter};

/// Each client address is greeted 5 times in any 10 seconds.
#[rate_limit(5, per = 10)]
async fn greet() -> &'static str {
    "Hello! Ask again: the sixth time within ten seconds I will say no.\n"
}

/// Each client address may order 3 times a minute, whatever it sends.
#[rate_limit(3, per = minute)]
async fn order(item: String) -> String {
    format!("Ordered: {item}\n")
}

async fn health() -> &'static str {
    "ok\n"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let limiter = Limiter::new(MemoryBackend::new());
    limiter.initialize().await?;
    set_limiter(limiter);

    let app = Router::new()
        .route("/", get(greet))
        .route("/orders", post(order))
        .route("/health", get(health));

    let port = match std::env::var("PORT") {
        Ok(port) => port.parse().map_err(|_| format!("PORT is not a port number: {port:?}"))?,
        Err(_) => 3000,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}; try another PORT"))?;
    let address = listener.local_addr()?;
    println!("Listening on http://{address}. Try, from another terminal:");
    println!("  curl -i http://{address}/");
    println!("  curl -i http://{address}/orders -d tea");
    println!("  curl -i http://{address}/health");

    // `key = ip`, the default, needs to know the peer's address.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(interrupted()).await?;
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
