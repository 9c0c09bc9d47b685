//! The number written is the number that gets through, over real sockets and under load.

use std::net::{IpAddr, Ipv4Addr};

use axum::Router;
use axum::routing::get;
use reqwest::{Client, StatusCode};
use support::{Server, limiter};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tollgate::rate_limit;

#[rate_limit(100, per = minute)]
async fn hundred() -> &'static str {
    "admitted"
}

#[rate_limit(30, per = minute)]
async fn thirty_by_address() -> &'static str {
    "admitted"
}

#[rate_limit(30, per = minute, key = header("X-Api-Key"))]
async fn thirty_by_key() -> &'static str {
    "admitted"
}

async fn unlimited() -> &'static str {
    "always"
}

fn app() -> Router {
    Router::new()
        .route("/hundred", get(hundred))
        .route("/thirty-by-address", get(thirty_by_address))
        .route("/thirty-by-key", get(thirty_by_key))
        .route("/unlimited", get(unlimited))
}

/// A client that comes from `address`, and keeps few connections for later.
fn client(address: IpAddr) -> Client {
    let builder = Client::builder().no_proxy().local_address(address);
    builder.pool_max_idle_per_host(10).build().unwrap()
}

/// What comes beyond a listener's queue is reset on a busy machine.
static CONNECTIONS: Semaphore = Semaphore::const_new(1_000);

/// Sends all at once, and counts the successes; everything else has to be a 429.
async fn successes(requests: impl Iterator<Item = reqwest::RequestBuilder>) -> usize {
    let mut set = JoinSet::new();
    for request in requests {
        set.spawn(async move {
            let _connection = CONNECTIONS.acquire().await.unwrap();
            request.send().await.unwrap().status()
        });
    }
    let statuses = set.join_all().await;
    let refused = statuses.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS);
    let admitted = statuses.iter().filter(|status| **status == StatusCode::OK);
    let admitted_count = admitted.count();
    assert_eq!(admitted_count + refused.count(), statuses.len(), "{statuses:?}");
    admitted_count
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_of_500_concurrent_requests_gets_exactly_its_100() {
    let (limiter, _clock) = limiter();
    let server = Server::start(app(), &limiter).await;
    let client = client(Ipv4Addr::LOCALHOST.into());
    let limited = successes((0..500).map(|_| client.get(server.url("/hundred"))));
    let unlimited = successes((0..500).map(|_| client.get(server.url("/unlimited"))));
    assert_eq!(tokio::join!(limited, unlimited), (100, 500));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_keys_of_100_concurrent_requests_get_exactly_30_each() {
    let (limiter, _clock) = limiter();
    let server = Server::start(app(), &limiter).await;
    let client = client(Ipv4Addr::LOCALHOST.into());
    let mut keys = JoinSet::new();
    for key in 0..50 {
        let request = client.get(server.url("/thirty-by-key")).header("x-api-key", key);
        let requests: Vec<_> = (0..100).map(|_| request.try_clone().unwrap()).collect();
        keys.spawn(successes(requests.into_iter()));
    }
    let unlimited = successes((0..500).map(|_| client.get(server.url("/unlimited"))));
    let (admitted, unlimited) = tokio::join!(keys.join_all(), unlimited);
    assert_eq!((admitted, unlimited), (vec![30; 50], 500));
    server.stop().await;
}

/// Linux answers on all of 127.0.0.0/8, so one machine can be fifty clients.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn fifty_addresses_of_100_concurrent_requests_get_exactly_30_each() {
    let (limiter, _clock) = limiter();
    let server = Server::start(app(), &limiter).await;
    let mut clients = JoinSet::new();
    for host in 1..=50 {
        let client = client(Ipv4Addr::new(127, 0, 1, host).into());
        let url = server.url("/thirty-by-address");
        clients.spawn(async move { successes((0..100).map(|_| client.get(&url))).await });
    }
    let unlimited = client(Ipv4Addr::LOCALHOST.into());
    let unlimited = successes((0..500).map(|_| unlimited.get(server.url("/unlimited"))));
    let (admitted, unlimited) = tokio::join!(clients.join_all(), unlimited);
    assert_eq!((admitted, unlimited), (vec![30; 50], 500));
    server.stop().await;
}
