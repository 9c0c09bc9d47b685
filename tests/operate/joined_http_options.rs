//! Options for HTTP of the program and of the configuration: each is taken from whoever sets it, and
//! none is lost.

use std::fs;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::routing::get;
use tollgate::http::{HeaderStyle, OnMissingKey, Refusal};
use tollgate::testing::Client;
use tollgate::{Config, HttpOptions, Limiter, MemoryBackend, rate_limit};

#[rate_limit(1, per = minute, name = "joined::by_address")]
async fn by_address() {}

#[rate_limit(1, per = minute, name = "joined::by_header", key = header("x-account"))]
async fn by_header() {}

/// The values of `trusted_proxies`, `headers` and `on_missing_key`: 1 or 2 of the values below, or
/// `None` if the option is not set.
type Values = [Option<usize>; 3];

/// All combinations of none and `value`.
fn combinations(value: usize) -> impl Iterator<Item = Values> {
    (0..8).map(move |bits| std::array::from_fn(|at| (bits & (1 << at) != 0).then_some(value)))
}

fn options([proxies, headers, on_missing]: Values) -> HttpOptions {
    let mut http = HttpOptions::new();
    if let Some(value) = proxies {
        http = http.trusted_proxies(["", "192.0.2.1", "203.0.113.1"].get(value)).unwrap();
    }
    if let Some(value) = headers {
        http = http.headers([HeaderStyle::Ietf, HeaderStyle::Both, HeaderStyle::None][value]);
    }
    if let Some(value) = on_missing {
        let modes = [OnMissingKey::Reject, OnMissingKey::Exempt, OnMissingKey::Shared];
        http = http.on_missing_key(modes[value]);
    }
    http
}

fn file([proxies, headers, on_missing]: Values) -> Config {
    let mut text = String::from("[http]\n");
    if let Some(value) = proxies {
        text += &format!("trusted_proxies = {:?}\n", [["192.0.2.1"], ["203.0.113.1"]][value - 1]);
    }
    if let Some(value) = headers {
        text += &format!("headers = {:?}\n", ["both", "none"][value - 1]);
    }
    if let Some(value) = on_missing {
        text += &format!("on_missing_key = {:?}\n", ["exempt", "shared"][value - 1]);
    }
    let path = std::env::temp_dir().join(format!("tollgate-joined-{}.toml", std::process::id()));
    fs::write(&path, text).unwrap();
    let config = Config::load_with(&path, []).unwrap();
    fs::remove_file(path).unwrap();
    config
}

fn refusal(text: &'static str) -> HttpOptions {
    HttpOptions::new().refusal(move |_: &Refusal<'_>| (StatusCode::TOO_MANY_REQUESTS, text))
}

/// The values in effect, as clients see them, and the body of a refusal.
async fn seen(limiter: &Limiter) -> ([usize; 3], String) {
    let routes = Router::new().route("/address", get(by_address)).route("/header", get(by_header));
    let client = Client::new(routes, limiter);
    let via = |peer: [u8; 4], forwarded: &str| {
        let request = Request::get("/address").header("x-forwarded-for", forwarded);
        let (client, request) = (client.from(peer), request.body(Body::empty()).unwrap());
        async move { client.send(request).await }
    };
    // Two clients behind each of the two peers: are they told apart?
    let mut proxy = 0;
    for (value, peer) in [(1, [192, 0, 2, 1]), (2, [203, 0, 113, 1])] {
        via(peer, &format!("198.51.100.{value}")).await;
        if via(peer, "198.51.100.9").await.status() == 200 {
            assert_eq!(proxy, 0, "both peers are trusted");
            proxy = value;
        }
    }
    let refused = via([192, 0, 2, 1], "198.51.100.1").await;
    assert_eq!(refused.status(), 429);
    let fields =
        ["ratelimit", "x-ratelimit-limit"].map(|name| refused.headers().contains_key(name));
    let style = [[true, false], [true, true], [false, false]].iter().position(|it| *it == fields);
    let body = to_bytes(refused.into_body(), 10_000).await.unwrap();
    let missing = [client.get("/header").await, client.get("/header").await];
    // The function for refusals answers a missing key with 429, too.
    let modes = [[429, 429], [200, 200], [200, 429]];
    let missing = missing.map(|response| response.status().as_u16());
    let mode = modes.iter().position(|it| *it == missing);
    ([proxy, style.unwrap(), mode.unwrap()], String::from_utf8(body.to_vec()).unwrap())
}

fn joined(first: Values, second: Values) -> [usize; 3] {
    std::array::from_fn(|at| first[at].or(second[at]).unwrap_or(0))
}

#[tokio::test]
async fn what_the_file_sets_holds_and_the_rest_is_the_programs() {
    for configured in combinations(1) {
        for program in combinations(2) {
            let builder = file(configured).builder().unwrap();
            // The function for refusals comes from another call.
            let limiter = builder.http(options(program)).http(refusal("mine")).build();
            let expected = (joined(configured, program), "mine".to_owned());
            assert_eq!(seen(&limiter).await, expected, "{configured:?} {program:?}");
        }
    }
}

#[tokio::test]
async fn a_second_call_adds_to_the_first_and_replaces_what_both_set() {
    for first in combinations(1) {
        for second in combinations(2) {
            let limiter = Limiter::builder(MemoryBackend::new())
                .http(options(first))
                .http(refusal("first"))
                .http(refusal("second"))
                .http(options(second))
                .build();
            let expected = (joined(second, first), "second".to_owned());
            assert_eq!(seen(&limiter).await, expected, "{first:?} {second:?}");
        }
    }
}
