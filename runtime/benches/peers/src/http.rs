//! What a limit costs a request: the attribute and the layer against tower_governor, refused
//! requests against admitted ones, and an annotated handler against a bare one over sockets.

use std::error::Error;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tollgate::{Limiter, MemoryBackend, Policy, Quota, RateLimitLayer, rate_limit};
use tower::Service as _;
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::PeerIpKeyExtractor;

use crate::median;

const CLIENTS: u32 = 65_000;
const ROUNDS: usize = 21;
/// Rounds that fill the stores and warm up.
const WARM: usize = 2;

pub(crate) async fn bare() -> &'static str {
    "ok"
}

#[rate_limit(1_000, per = 60)]
pub(crate) async fn annotated() -> &'static str {
    "ok"
}

/// One request in an hour, so that all but the first are refused.
#[rate_limit(1, per = hour)]
pub(crate) async fn refusing() -> &'static str {
    "ok"
}

#[rate_limit(1_000_000, per = second)]
async fn busy() -> &'static str {
    "ok"
}

pub(crate) const LAYERED: Policy =
    Policy::new("layered", Quota::new(1_000, Duration::from_secs(60)));
const REFUSING: Policy = Policy::new("refusing", Quota::new(1, Duration::from_secs(3_600)));

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    tollgate::set_limiter(Limiter::new(MemoryBackend::builder().max_keys(1 << 20).build()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(added())?;
    runtime.block_on(refused())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(throughput())
}

/// Prints ours alone: nanoseconds that the attribute and the layer add to a request, those of a
/// whole refused request, and requests per second over sockets.
pub(crate) fn figures() -> Result<(), Box<dyn Error>> {
    tollgate::set_limiter(Limiter::new(MemoryBackend::builder().max_keys(1 << 20).build()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let [bare, attribute, layer] = times(&mut ours(), CLIENTS).await?;
        println!("figure http.attribute {:.2}", attribute - bare);
        println!("figure http.layer {:.2}", layer - bare);
        for (name, _, mut refusing) in refusals() {
            let clients = CLIENTS / 10;
            per_request(&mut refusing, clients, StatusCode::OK).await?;
            let mut refused = Vec::new();
            for _ in 0..ROUNDS {
                let status = StatusCode::TOO_MANY_REQUESTS;
                refused.push(per_request(&mut refusing, clients, status).await?);
            }
            println!("figure {name} {:.2}", median(refused));
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let [_, annotated] = runtime.block_on(rates())?;
    println!("figure http.throughput {annotated:.0}");
    Ok(())
}

fn plain() -> Router {
    Router::new().route("/", get(bare))
}

/// Bare, with the attribute, with the layer.
fn ours() -> [Router; 3] {
    [plain(), Router::new().route("/", get(annotated)), plain().layer(RateLimitLayer::new(LAYERED))]
}

/// Of each way of limiting, an application that admits and one that refuses.
fn refusals() -> [(&'static str, Router, Router); 2] {
    [
        (
            "http.refused",
            Router::new().route("/", get(annotated)),
            Router::new().route("/", get(refusing)),
        ),
        (
            "http.refused.layer",
            plain().layer(RateLimitLayer::new(LAYERED)),
            plain().layer(RateLimitLayer::new(REFUSING)),
        ),
    ]
}

/// Median nanoseconds of a request to each of the applications, which take turns.
async fn times<const N: usize>(
    apps: &mut [Router; N],
    clients: u32,
) -> Result<[f64; N], Box<dyn Error>> {
    let mut samples = [const { Vec::new() }; N];
    for round in 0..WARM + ROUNDS {
        for (app, samples) in apps.iter_mut().zip(&mut samples) {
            let time = per_request(app, clients, StatusCode::OK).await?;
            if round >= WARM {
                samples.push(time);
            }
        }
    }
    Ok(samples.map(median))
}

/// The time that each way of limiting adds to a request.
async fn added() -> Result<(), Box<dyn Error>> {
    let governor = GovernorConfigBuilder::default()
        .per_millisecond(60)
        .burst_size(1_000)
        .key_extractor(PeerIpKeyExtractor)
        .use_headers()
        .finish()
        .ok_or("tower_governor takes no such quota")?;
    let [bare, attribute, layer] = ours();
    let theirs = plain().layer(GovernorLayer::new(Arc::new(governor)));
    let [bare, attribute, layer, theirs] =
        times(&mut [bare, attribute, layer, theirs], CLIENTS).await?;
    println!(
        "http.attribute, http.layer: a request takes {bare:.0} ns bare; the attribute adds {:.0} \
         ns, the layer {:.0} ns, tower_governor {:.0} ns (headers on, {CLIENTS} clients)",
        attribute - bare,
        layer - bare,
        theirs - bare
    );
    println!("ratio http.attribute {:.3}", (attribute - bare) / (theirs - bare));
    println!("ratio http.layer {:.3}", (layer - bare) / (theirs - bare));
    Ok(())
}

/// Refused requests against admitted ones of the same application.
async fn refused() -> Result<(), Box<dyn Error>> {
    for (name, mut admitting, mut refusing) in refusals() {
        let (mut admitted, mut refused) = (Vec::new(), Vec::new());
        let clients = CLIENTS / 10;
        per_request(&mut refusing, clients, StatusCode::OK).await?;
        for _ in 0..ROUNDS {
            admitted.push(per_request(&mut admitting, clients, StatusCode::OK).await?);
            let status = StatusCode::TOO_MANY_REQUESTS;
            refused.push(per_request(&mut refusing, clients, status).await?);
        }
        let (admitted, refused) = (median(admitted), median(refused));
        println!("{name}: admitted {admitted:.0} ns, refused {refused:.0} ns (whole requests)");
        println!("ratio {name} {:.3}", refused / admitted);
    }
    Ok(())
}

/// Nanoseconds for each of as many requests as there are clients.
async fn per_request(
    app: &mut Router,
    clients: u32,
    expected: StatusCode,
) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    for client in 0..clients {
        // Far apart, as the addresses of clients are.
        let response = app.call(request(client * 257)).await?;
        if response.status() != expected {
            return Err(format!("{client} was answered {}", response.status()).into());
        }
        black_box(response);
    }
    Ok(start.elapsed().as_nanos() as f64 / f64::from(clients))
}

/// A request of the client of that number.
pub(crate) fn request(client: u32) -> Request<Body> {
    let address = Ipv4Addr::from_bits(0x0b00_0000 | client & 0x00ff_ffff);
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from((address, 4711))));
    request
}

const CONNECTIONS: usize = 8;
const SPELL: Duration = Duration::from_millis(500);
const SPELLS: usize = 15;

/// Compares the annotated handler with the bare one over sockets.
async fn throughput() -> Result<(), Box<dyn Error>> {
    let [bare, annotated] = rates().await?;
    println!(
        "http.throughput: bare {bare:.0} requests per second, annotated {annotated:.0} (over \
         {CONNECTIONS} connections on loopback)"
    );
    println!("ratio http.throughput {:.3}", annotated / bare);
    Ok(())
}

/// Requests per second over sockets, of the bare handler and of the annotated one.
async fn rates() -> Result<[f64; 2], Box<dyn Error>> {
    let app = Router::new().route("/bare", get(bare)).route("/annotated", get(busy));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(axum::serve(listener, service).into_future());
    let (mut bare, mut annotated) = (Vec::new(), Vec::new());
    for spell in 0..=SPELLS {
        // Each goes first as often as the other.
        let order = if spell % 2 == 0 { ["/bare", "/annotated"] } else { ["/annotated", "/bare"] };
        for path in order {
            let rate = requests_per_second(address, path).await?;
            match path {
                _ if spell == 0 => {}
                "/bare" => bare.push(rate),
                _ => annotated.push(rate),
            }
        }
    }
    server.abort();
    Ok([median(bare), median(annotated)])
}

async fn requests_per_second(address: SocketAddr, path: &str) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(load(address, path.to_owned(), start + SPELL)))
        .collect();
    let mut requests = 0;
    for connection in connections {
        requests += connection.await??;
    }
    Ok(f64::from(requests) / start.elapsed().as_secs_f64())
}

/// Requests one after another on one connection; how many were answered.
async fn load(address: SocketAddr, path: String, until: Instant) -> std::io::Result<u32> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 4_096];
    let mut requests = 0;
    while Instant::now() < until {
        stream.write_all(request.as_bytes()).await?;
        let mut len = 0;
        // The body is two bytes long.
        while !(len > 6 && buffer[..len - 2].ends_with(b"\r\n\r\n")) {
            let read = stream.read(&mut buffer[len..]).await?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            len += read;
        }
        if !buffer.starts_with(b"HTTP/1.1 200") {
            return Err(std::io::Error::other("a request was refused"));
        }
        requests += 1;
    }
    Ok(requests)
}
