//! One budget for every process that shares a Redis.
//!
//! ```console
//! REDIS_URL=redis://localhost:6379 cargo run -p with-redis
//! ```
//!
//! Start it twice, with another `PORT`: both admit ten requests together, not ten each.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::routing::get;
use tollgate::{Limiter, get_limiter, rate_limit, set_limiter};

/// Each client address is greeted 10 times in any 30 seconds, whichever process it asks.
#[rate_limit(10, per = 30)]
async fn greet() -> &'static str {
    "Hello!\n"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();

    // In memory if `REDIS_URL` is not set. `RedisBackend::from_url` takes the URL itself.
    let limiter = Limiter::from_env()?;
    limiter.initialize().await?;
    set_limiter(limiter);

    let port = match std::env::var("PORT") {
        Ok(port) => port.parse().map_err(|_| format!("PORT is not a port number: {port:?}"))?,
        Err(_) => 3000,
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("Listening. Try: curl -i http://{}/", listener.local_addr()?);
    let app = Router::new().route("/", get(greet));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(interrupted()).await?;
    // Waits for what is under way.
    get_limiter().close().await;
    Ok(())
}

/// Returns when the user presses Ctrl-C.
async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "cannot wait for Ctrl-C; closing now");
    }
}
