//! Serves the orders and their document.
//!
//! ```console
//! cargo run -p openapi
//! ```

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use tollgate::{Limiter, MemoryBackend, set_limiter};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let limiter = Limiter::new(MemoryBackend::new());
    limiter.initialize().await?;
    set_limiter(limiter);

    let port = match std::env::var("PORT") {
        Ok(port) => port.parse().map_err(|_| format!("PORT is not a port number: {port:?}"))?,
        Err(_) => 3000,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}; try another PORT"))?;
    let address = listener.local_addr()?;
    println!("Listening on http://{address}. Try:");
    println!("  curl http://{address}/openapi.json");
    println!("  curl -i -H 'x-api-key: me' http://{address}/orders");

    let app = openapi::app().into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = tokio::signal::ctrl_c().await;
    });
    Ok(server.await?)
}
