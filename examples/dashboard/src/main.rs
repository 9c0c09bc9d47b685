//! A service with a page on which its limits are seen at work, and changed. It sends itself
//! requests from a few clients, so that there is something to see.
//!
//! ```console
//! cargo run -p dashboard            # until Ctrl-C; open the address that it prints
//! cargo run -p dashboard -- 60      # 60 seconds
//! ```
//!
//! The page is behind a password, as it should be: `admin`, `only an example`. With `REDIS_URL` it
//! counts in Redis, whose round trips are seen then, too.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use subtle::ConstantTimeEq as _;
use tollgate::{Dashboard, Limiter, rate_limit};

#[rate_limit(5, per = second, key = header("x-client"))]
async fn search() -> &'static str {
    "found"
}

#[rate_limit(30, per = "10s", algorithm = token_bucket, burst = 10, key = global)]
async fn export() -> &'static str {
    "exported"
}

/// Would 20 in a second be enough for all? Nobody is refused to find out.
#[rate_limit(20, per = second, key = global, shadow)]
async fn report() -> &'static str {
    "reported"
}

/// `admin:only an example`, as browsers send it. A real service has an account for each operator.
const PASSWORD: &str = "Basic YWRtaW46b25seSBhbiBleGFtcGxl";

async fn operators_only(request: Request, next: Next) -> Response {
    let credentials = request.headers().get(header::AUTHORIZATION);
    // `==` would end at the first byte that differs, and so tell by its time how many are right.
    let is_right = |it: &HeaderValue| bool::from(it.as_bytes().ct_eq(PASSWORD.as_bytes()));
    if credentials.is_some_and(is_right) {
        return next.run(request).await;
    }
    let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"operators\"")];
    (StatusCode::UNAUTHORIZED, ask, "for operators\n").into_response()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds: Option<u64> = match std::env::args().nth(1) {
        Some(text) => Some(text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?),
        None => None,
    };
    let port: u16 = match std::env::var("PORT") {
        Ok(text) => text.parse().map_err(|_| format!("PORT: {text:?} is no port"))?,
        Err(_) => 0,
    };
    let limiter = Limiter::from_env()?;
    limiter.initialize().await?;
    let dashboard = Dashboard::new(limiter.clone()).allow_changes(true).into_router();
    let app = Router::new()
        .route("/search", get(search))
        .route("/export", get(export))
        .route("/report", get(report))
        .layer(limiter.layer())
        // In contrast to `nest`, with and without a slash at the end.
        .nest_service("/admin/limits", dashboard.layer(from_fn(operators_only)));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    println!("Open http://{address}/admin/limits as admin, with the password: only an example");
    let end = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = load(address) => {}
        () = end => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    limiter.close().await;
    Ok(())
}

/// Three clients, of which one asks more often than it may; and work that comes in waves.
async fn load(address: SocketAddr) {
    let client = reqwest::Client::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    for tick in 0_u64.. {
        ticks.tick().await;
        let mut paths = vec![("report", "all")];
        for (who, every) in [("ann", 20), ("bob", 7), ("eve", 2)] {
            if tick % every == 0 {
                paths.push(("search", who));
            }
        }
        // Ten seconds of work, ten of rest.
        if tick % 400 < 200 && tick % 3 == 0 {
            paths.push(("export", "all"));
        }
        for (path, who) in paths {
            let request = client.get(format!("http://{address}/{path}"));
            // The server may have ended before this.
            let _ = request.header("x-client", who).send().await;
        }
    }
}
