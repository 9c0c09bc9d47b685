//! 10 MiB of header, query, path and body at every door cost no more memory and time than is
//! stated, and no client gets an error of the server by them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::connect_info::MockConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use axum::routing::{any, post};
use support::redis::RedisServer;
use tollgate::http::ForwardedHeader;
use tollgate::testing::scope;
use tollgate::{
    Dashboard, HttpOptions, Key, Limiter, LocalTier, MemoryBackend, OnError, Override, PerSubject,
    Policy, Quota, RateLimitLayer, RateLimited, RedisBackend, rate_limit,
};
use tower::ServiceExt as _;

const HOUR: Duration = Duration::from_secs(3_600);
const KIB: usize = 1 << 10;

/// 10 MiB at full scale.
fn large() -> usize {
    support::scaled(128 << 10, 10 << 20) as usize
}

fn held() -> usize {
    dhat::HeapStats::get().curr_bytes
}

/// Returns the output of `ask`, the bytes that it allocates, and those that it leaves behind.
async fn costs<T>(ask: impl Future<Output = T>) -> (T, usize, usize) {
    let (before, blocks) = (held(), dhat::HeapStats::get().total_bytes);
    let output = ask.await;
    let allocated = dhat::HeapStats::get().total_bytes - blocks;
    (output, usize::try_from(allocated).unwrap(), held().saturating_sub(before))
}

#[rate_limit(1, per = hour, name = "function", key = args(text))]
async fn by_argument(text: &str) -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(1, per = hour, name = "sync function", key = args(text, text))]
fn by_arguments(text: &str) -> Result<(), RateLimited> {
    Ok(())
}

/// The doors by which the text of a program becomes a subject.
const DOORS: [&str; 10] = [
    "check",
    "check_cost",
    "check_now",
    "wait",
    "peek",
    "reset",
    "refund",
    "too much",
    "function",
    "sync function",
];

async fn ask(door: &str, limiter: &Limiter, policy: &Policy, text: &str) {
    match door {
        "check" => drop(limiter.check(policy, text).await.unwrap()),
        "check_cost" => drop(limiter.check_cost(policy, text, 1).await.unwrap()),
        "check_now" => drop(limiter.check_now(policy, text, 1).map(Result::unwrap)),
        "wait" => drop(limiter.wait(policy, text, 1, Duration::ZERO).await.unwrap()),
        "peek" => drop(limiter.peek(policy, text, 1).await.unwrap()),
        "reset" => limiter.reset(policy, text).await.unwrap(),
        "refund" => {
            let charged = limiter.check(policy, text).await.unwrap();
            assert!(limiter.refund(charged).await.unwrap());
        }
        // Refused, so that the dashboard counts it.
        "too much" => drop(limiter.check_cost(policy, text, 2).await.unwrap()),
        "function" => drop(scope(limiter.clone(), by_argument(text)).await),
        _ => drop(scope(limiter.clone(), async { by_arguments(text) }).await),
    }
}

/// Sees what the function for single subjects is given.
fn overrides() -> PerSubject {
    PerSubject::new(|_, subject| {
        assert!(subject.len() <= 128);
        Some(Override::new().limit(1))
    })
}

#[tokio::test]
async fn texts_that_are_large_stay_in_the_bounds() {
    const NAME: &str = "texts_that_are_large_stay_in_the_bounds";
    if support::is_left_to_a_process_of_its_own(module_path!(), NAME) {
        return;
    }
    let server = RedisServer::start();
    let _profiler = dhat::Profiler::builder().testing().build();
    let memory = Limiter::builder(MemoryBackend::builder().max_keys(1_000).build());
    let redis = RedisBackend::builder(&server.url()).deadline(Duration::from_secs(60));
    // With all that a process keeps by itself: refusals, leases, and counters for an outage.
    let redis = Limiter::builder(redis.build().unwrap()).instances(2).on_error(OnError::Local);
    let redis = redis.local_tier(LocalTier::default().lease(10));
    for builder in [memory, redis] {
        let limiter = builder.per_subject(overrides()).build();
        let dashboard = Dashboard::new(limiter.clone()).show_subjects(true).into_router();
        let policy = Policy::new("p", Quota::new(1, HOUR));
        // Warm: what is made once is not counted.
        for number in 0..3 {
            for door in DOORS {
                ask(door, &limiter, &policy, &format!("warm {door} {number}")).await;
            }
        }
        for door in DOORS {
            for number in 0..3 {
                let text = format!("{}{door}-{number}", "x".repeat(large()));
                let ((), allocated, left) = costs(ask(door, &limiter, &policy, &text)).await;
                // The arguments of a function are joined to one text first, which grows in steps.
                let arguments = ["function", "sync function"].iter().position(|it| *it == door);
                let copies = arguments.map_or(0, |index| 5 * (index + 1) * large());
                assert!(allocated < 64 * KIB + copies, "{door}: {allocated}");
                assert!(left < 16 * KIB, "{door}: {left}");
            }
        }
        let request = Request::get("/").body(Body::empty()).unwrap();
        let page = support::text(dashboard.oneshot(request).await.unwrap()).await;
        assert!(page.len() < 64 * KIB, "{}", page.len());
        limiter.close().await;
    }
    let keys: Vec<String> = server.ask("KEYS *");
    assert!(keys.len() > 20 && keys.iter().all(|key| key.len() < 64), "{keys:?}");
}

#[rate_limit(1, per = minute, name = "handler", key = (header("x-api-key"), query("q")))]
async fn handler(_: Parts) {}

#[rate_limit(1, per = minute, name = "handler of a body", key = path_param("id"))]
async fn handler_of_a_body(_: Bytes) {}

async fn calls_a_function(parts: Parts) -> Result<(), RateLimited> {
    let key = &parts.headers["x-api-key"];
    by_argument(&String::from_utf8_lossy(key.as_bytes())).await
}

fn api_key(parts: &Parts) -> Option<String> {
    parts.headers.get("x-api-key").map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned())
}

/// What is behind a limit of each kind, at `/{id}`.
fn routers() -> Vec<(String, Router)> {
    let keys = [
        Key::ip(),
        Key::header("x-api-key"),
        Key::header("authorization"),
        Key::cookie("sid"),
        Key::query("q"),
        Key::path_param("id"),
        Key::function(api_key),
        Key::all([Key::query("q"), Key::header("x-api-key")]),
    ];
    let trusting = |header| {
        let options = HttpOptions::new().trusted_proxies(["192.0.2.0/24", "10.0.0.0/8"]).unwrap();
        options.forwarded_header(header)
    };
    let limiter = |http| Limiter::builder(MemoryBackend::new()).http(http).build();
    let plain = || limiter(HttpOptions::new());
    let single = HttpOptions::new().trusted_proxies(["192.0.2.1"]).unwrap();
    let single = single.client_header("x-real-ip").unwrap();
    let hidden = HttpOptions::new().hash_subjects(true).pepper([7; 32]).unwrap();
    let at = |route| Router::new().route("/{id}", route);
    let layered = |key: Key, name: String| {
        let layer = RateLimitLayer::new(Policy::named(name, Quota::per_minute(1))).key(key);
        at(any(async || ())).route_layer(layer)
    };
    let mut routers: Vec<_> = keys
        .iter()
        .map(|key| {
            let name = format!("{key:?}");
            (name.clone(), layered(key.clone(), name).layer(plain().layer()))
        })
        .collect();
    for (name, http) in [
        ("X-Forwarded-For", trusting(ForwardedHeader::XForwardedFor)),
        ("Forwarded", trusting(ForwardedHeader::Forwarded)),
        ("X-Real-IP", single),
    ] {
        let router = layered(Key::ip(), name.to_owned());
        routers.push((name.to_owned(), router.layer(limiter(http).layer())));
    }
    let router = layered(Key::function(api_key), "hidden".to_owned());
    routers.push(("hidden".to_owned(), router.layer(limiter(hidden).layer())));
    for (name, route) in [
        ("handler", any(handler)),
        ("handler of a body", any(handler_of_a_body)),
        ("function", any(calls_a_function)),
    ] {
        routers.push((name.to_owned(), at(route).layer(plain().layer())));
    }
    let peer = MockConnectInfo(SocketAddr::from(([192, 0, 2, 1], 1)));
    routers.into_iter().map(|(name, router)| (name, router.layer(peer))).collect()
}

/// All of a request that a limit can read, filled. A copy of the fields shares their bytes.
#[derive(Clone)]
struct Filled {
    uri: Uri,
    headers: HeaderMap,
    size: usize,
}

fn filled(filling: &str, size: usize) -> Filled {
    let filling = filling.repeat(size / filling.len());
    // The library of URIs has a bound of its own, of 64 kB.
    let visible = filling.replace([' ', '"'], "+");
    let (path, query) = (visible.len().min(20_000), visible.len().min(40_000));
    let target = format!("/x{}?q={}", &visible[..path], &visible[..query]);
    let uri = Uri::try_from(target).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-api-key", filling.clone()),
        ("authorization", format!("Bearer {filling}")),
        ("cookie", format!("sid={filling}")),
        ("x-forwarded-for", filling.clone()),
        ("forwarded", format!("for={filling}")),
        ("x-real-ip", filling),
    ] {
        let value = HeaderValue::try_from(value).unwrap();
        headers.insert(HeaderName::from_static(name), value);
    }
    Filled { uri, headers, size }
}

impl Filled {
    fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::from("a".repeat(self.size)));
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

async fn takes(router: &Router, filled: &Filled) -> Duration {
    let (router, request) = (router.clone(), filled.request());
    let since = Instant::now();
    let response = router.oneshot(request).await.unwrap();
    let took = since.elapsed();
    drop(response);
    took
}

/// None is an error of the server.
fn check(case: &str, response: &Response<Body>) {
    let known = [
        StatusCode::OK,
        StatusCode::BAD_REQUEST,
        StatusCode::TOO_MANY_REQUESTS,
        // The framework's bound for bodies that a handler takes.
        StatusCode::PAYLOAD_TOO_LARGE,
    ];
    assert!(known.contains(&response.status()), "{case}: {}", response.status());
}

const FILLINGS: [&str; 10] =
    ["a", "%61", "%ff", ";", "&", "=", " ", "\"", "10.0.0.1,", "for=10.0.0.1, "];

/// A copy of what is decoded, or of an argument, is made while the request is there; nothing stays.
#[tokio::test]
async fn requests_that_are_large_stay_in_the_bounds() {
    const NAME: &str = "requests_that_are_large_stay_in_the_bounds";
    if support::is_left_to_a_process_of_its_own(module_path!(), NAME) {
        return;
    }
    let _profiler = dhat::Profiler::builder().testing().build();
    let routers = routers();
    for filling in FILLINGS {
        let filled = filled(filling, large());
        for (name, router) in &routers {
            let case = format!("{name}, filled with {filling:?}");
            for _ in 0..2 {
                let request = filled.request();
                let before = held();
                let (response, allocated, _) = costs(router.clone().oneshot(request)).await;
                let response = response.unwrap();
                check(&case, &response);
                assert!(allocated < 4 * large(), "{case}: {allocated}");
                drop(response);
                let left = held().saturating_sub(before);
                assert!(left < 64 * KIB, "{case}: {left}");
            }
        }
    }
}

/// Sixteen times the bytes take about sixteen times as long. If the work grew with the square, it
/// would be 256 times, however often it is tried. What else the machine does slows down only some
/// of the tries.
#[tokio::test]
async fn the_work_grows_with_the_bytes_and_no_faster() {
    const TRIES: u32 = 20;
    let size = large() / 4;
    let routers = routers();
    for filling in FILLINGS {
        let [few, many] = [size / 16, size].map(|size| filled(filling, size));
        for (name, router) in &routers {
            let mut least = f64::INFINITY;
            for _ in 0..TRIES {
                let few = takes(router, &few).await;
                let many = takes(router, &many).await;
                least = least.min(many.as_secs_f64() / few.as_secs_f64());
                if least < 40.0 {
                    break;
                }
            }
            assert!(least < 40.0, "{name}, filled with {filling:?}: {least}");
        }
    }
}

/// Forms, fields and names that are too large for the dashboard are refused, and cost nothing.
#[tokio::test]
async fn what_is_sent_to_the_dashboard_stays_in_the_bounds() {
    const NAME: &str = "what_is_sent_to_the_dashboard_stays_in_the_bounds";
    if support::is_left_to_a_process_of_its_own(module_path!(), NAME) {
        return;
    }
    let _profiler = dhat::Profiler::builder().testing().build();
    let limiter = Limiter::new(MemoryBackend::new());
    let dashboard = Dashboard::new(limiter).allow_changes(true).hosts(["limits.example"]);
    let router: Router =
        Router::new().nest("/limits", dashboard.into_router()).route("/", post(async || ()));
    let long = "a".repeat(large());
    let form = |fields: &str| Body::from(format!("{fields}={}", "%3C".repeat(large() / 3)));
    let post = |body| {
        let request = Request::post("/limits").header("sec-fetch-site", "same-origin");
        request.header("host", "limits.example").body(body).unwrap()
    };
    let get = |target: String, host: &str| {
        Request::get(target).header("host", host).body(Body::empty()).unwrap()
    };
    for (case, request, expected) in [
        ("form", post(form("policy=p&limit")), 413),
        ("name", post(form("policy")), 413),
        ("one field", post(Body::from(format!("policy={}", "%3C".repeat(5_000)))), 422),
        ("many fields", post(Body::from("limit=1&".repeat(2_000))), 422),
        ("search", get(format!("/limits?find={}", &"%3C".repeat(20_000)), "limits.example"), 200),
        ("claim", get(format!("/limits?changed={}", &long[..60_000]), "limits.example"), 200),
        ("host", get("/limits".to_owned(), &long), 421),
    ] {
        let (response, allocated, left) = costs(router.clone().oneshot(request)).await;
        let response = response.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{case}");
        // The page shows what was sent, escaped.
        assert!(allocated < 2 << 20 && left < 512 * KIB, "{case}: {allocated}, {left}");
    }
}
