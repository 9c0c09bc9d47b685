//! Everybody who asks for the client's address gets the one that the key `ip` counts by: handlers,
//! conditions, keys of functions, layers; also where the server's connections have no address.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::extract::{ConnectInfo, Path};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use proptest::prelude::*;
use support::log::Log;
use support::scaled;
use support::subjects::Subjects;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tollgate::testing::{Client, ManualClock, scope};
use tollgate::{
    ClientAddr, HttpOptions, Key, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer, rate_limit,
};

fn limiter(http: HttpOptions) -> Limiter {
    let memory = MemoryBackend::builder().clock(ManualClock::new()).build();
    Limiter::builder(memory).http(http).build()
}

fn behind_a_proxy() -> HttpOptions {
    HttpOptions::new().trusted_proxies(["10.0.0.0/8"]).unwrap()
}

async fn whoever(client: ClientAddr) -> String {
    format!("{client} {}", client.subject())
}

async fn perhaps(client: Option<ClientAddr>) -> String {
    client.map_or_else(|| "nobody".to_owned(), |client| IpAddr::from(client).to_string())
}

fn from_client(parts: &Parts) -> Option<ClientAddr> {
    ClientAddr::of(parts)
}

#[rate_limit(1, per = 60, key = self::from_client)]
async fn by_function() {}

fn is_internal(parts: &Parts) -> bool {
    ClientAddr::of(parts).is_some_and(|client| client.ip() == IpAddr::from([192, 168, 0, 1]))
}

#[rate_limit(1, per = 60, exempt = self::is_internal)]
async fn exempt_by_function() {}

#[rate_limit(1, per = 60, exempt = net("192.168.0.0/16", "fd00::/8", "2001:db8::7"))]
async fn exempt_by_net() {}

fn routes() -> Router {
    Router::new()
        .route("/whoever", get(whoever))
        .route("/perhaps", get(perhaps))
        .route("/function", get(by_function))
        .route("/exempt", get(exempt_by_function))
        .route("/net", get(exempt_by_net))
}

fn says(path: &str, forwarded_for: &str) -> Request<Body> {
    Request::get(path).header("x-forwarded-for", forwarded_for).body(Body::empty()).unwrap()
}

async fn twice(client: &Client, path: &str, forwarded_for: &str) -> [u16; 2] {
    let mut statuses = [0; 2];
    for status in &mut statuses {
        *status = client.send(says(path, forwarded_for)).await.status().as_u16();
    }
    statuses
}

#[tokio::test]
async fn the_client_is_the_same_for_all() {
    let limiter = limiter(behind_a_proxy());
    let client = Client::new(routes(), &limiter);
    let (proxy, other) = (client.from([10, 0, 0, 1]), client.from([203, 0, 113, 5]));
    let said = async |client: &Client, path, header| {
        support::text(client.send(says(path, header)).await).await
    };
    assert_eq!(
        said(&proxy, "/whoever", "1.2.3.4, 198.51.100.1").await,
        "198.51.100.1 198.51.100.1"
    );
    assert_eq!(
        said(&proxy, "/whoever", "2001:db8:1:2::3").await,
        "2001:db8:1:2::3 2001:db8:1:2/64"
    );
    assert_eq!(said(&proxy, "/whoever", "64:ff9b::1.2.3.4").await, "1.2.3.4 1.2.3.4");
    assert_eq!(said(&other, "/whoever", "198.51.100.1").await, "203.0.113.5 203.0.113.5");
    assert_eq!(said(&other, "/perhaps", "198.51.100.1").await, "203.0.113.5");

    // A key function counts by it, with the prefix of IPv6.
    assert_eq!(twice(&proxy, "/function", "198.51.100.1").await, [200, 429]);
    assert_eq!(twice(&proxy, "/function", "198.51.100.2").await, [200, 429]);
    assert_eq!(twice(&proxy, "/function", "2001:db8:1:2::3").await, [200, 429]);
    assert_eq!(twice(&proxy, "/function", "2001:db8:1:2::4").await, [429, 429]);

    for path in ["/exempt", "/net"] {
        assert_eq!(twice(&proxy, path, "192.168.0.1").await, [200, 200], "{path}");
        assert_eq!(twice(&proxy, path, "192.168.0.1, 198.51.100.1").await, [200, 429], "{path}");
        assert_eq!(twice(&other, path, "192.168.0.1").await, [200, 429], "{path}");
        // The proxy itself is not exempt, and so nobody who comes by it is.
        assert_eq!(twice(&proxy, path, "unknown").await, [200, 429], "{path}");
    }
    assert_eq!(twice(&proxy, "/net", "64:ff9b::192.168.9.9").await, [200, 200]);
    assert_eq!(twice(&proxy, "/net", "fdff::1").await, [200, 200]);
    assert_eq!(twice(&proxy, "/net", "2001:db8::7").await, [200, 200]);
    assert_eq!(twice(&proxy, "/net", "2001:db8::8").await, [200, 429]);
    assert_eq!(twice(&proxy, "/net", "192.169.0.0").await, [200, 429]);
}

#[tokio::test]
async fn a_layer_exempts_by_its_own_limiters_options() {
    let policy = Policy::named("layer", Quota::new(1, std::time::Duration::from_secs(60)));
    let own = limiter(behind_a_proxy().nat64_prefixes(["2001:db8:f000::/96"]).unwrap());
    let layer = RateLimitLayer::new(policy)
        .limiter(own)
        .exempt(|parts| parts.uri.path() == "/free")
        .exempt_nets(["192.168.0.0/16", "2001:db8:f000::172.16.0.0/108"])
        .unwrap();
    let app = Router::new().fallback(async || ()).layer(layer);
    // The request's limiter trusts nobody.
    let client = Client::new(app, &limiter(HttpOptions::new()));
    let proxy = client.from([10, 0, 0, 1]);
    assert_eq!(twice(&proxy, "/", "192.168.0.1").await, [200, 200]);
    assert_eq!(twice(&proxy, "/", "172.31.0.1").await, [200, 200]);
    assert_eq!(twice(&proxy, "/", "2001:db8:f000::172.31.0.1").await, [200, 200]);
    assert_eq!(twice(&proxy, "/", "172.32.0.1").await, [200, 429]);
    assert_eq!(twice(&proxy, "/free", "172.32.0.1").await, [200, 200]);
    assert_eq!(twice(&client.from([203, 0, 113, 5]), "/", "192.168.0.1").await, [200, 429]);
    let policy = Policy::named("wrong", Quota::new(1, std::time::Duration::from_secs(60)));
    let error = RateLimitLayer::new(policy).exempt_nets(["10.0.0"]).unwrap_err().to_string();
    assert!(error.starts_with("`10.0.0` is no network"), "{error}");
}

#[tokio::test]
async fn without_an_address_it_is_the_keys_refusal() {
    let app = routes().layer(limiter(HttpOptions::new()).layer());
    let rejected = support::send(&app, support::get("/whoever")).await;
    assert_eq!(rejected.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(support::header(&rejected, "cache-control"), Some("no-store"));
    assert_eq!(support::header(&rejected, "content-type"), Some("application/problem+json"));
    let refused = support::send(&app, support::get("/net")).await;
    assert_eq!(support::text(rejected).await, support::text(refused).await);
    let perhaps = support::send(&app, support::get("/perhaps")).await;
    assert_eq!(support::text(perhaps).await, "nobody");
}

/// The error of the handlers below, which says nothing of limits.
struct AppError;

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        StatusCode::IM_A_TEAPOT.into_response()
    }
}

#[derive(Clone)]
struct User(&'static str);

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

fn user_agent(parts: &Parts) -> Option<&str> {
    parts.headers.get("user-agent")?.to_str().ok()
}

async fn later(parts: &Parts) -> Option<&str> {
    std::future::ready(user_agent(parts)).await
}

mod logins {
    use super::*;

    macro_rules! handlers {
        ($($name:ident($email:ident: $($key:tt)*))*) => {$(
            #[rate_limit(1, per = 60, $($key)*)]
            pub(super) async fn $name(Path($email): Path<String>, _: String) -> Result<(), AppError> {
                if $email == "nobody" { Err(AppError) } else { Ok(()) }
            }
        )*};
    }

    handlers! {
        before(email: key = (args(email), ip))
        after(email: key = (ip, args(email.to_lowercase())))
        between(email: key = (ip, args(email), global))
        by_address(email: key = (args(), ip))
        header(email: key = (args(email), header("x-key")))
        cookie(email: key = (args(email), cookie("sid"), ip))
        query(email: key = (query("q"), args(email)), on_missing_key = exempt)
        shared(email: key = (header("x-key"), args(email)), on_missing_key = shared)
        param(email: key = (args(), path_param("email")))
        extension(email: key = (extension(User), args(email)))
        function(email: key = (args(email), self::later, super::user_agent))
        shadow(email: key = (args(email), header("x-key")), shadow)
    }

    /// The first argument's pattern may bind nothing, and there may be none.
    #[axum::debug_handler]
    #[rate_limit(1, per = 60, key = (args(1), ip))]
    pub(super) async fn checked(_: Path<String>) -> Result<(), AppError> {
        Ok(())
    }

    #[rate_limit(1, per = 60, key = (args(), ip))]
    #[rate_limit(3, per = 60, key = args())]
    pub(super) async fn bare() -> Result<(), AppError> {
        Ok(())
    }

    pub(super) struct Api;

    impl Api {
        #[rate_limit(1, per = 60, key = (args(email), ip))]
        pub(super) async fn method(Path(email): Path<String>) -> Result<(), AppError> {
            let _ = email;
            Ok(())
        }
    }
}

fn login_routes() -> Router {
    use axum::routing::any;
    Router::new()
        .route("/before/{email}", any(logins::before))
        .route("/after/{email}", any(logins::after))
        .route("/between/{email}", any(logins::between))
        .route("/by-address/{email}", any(logins::by_address))
        .route("/header/{email}", any(logins::header))
        .route("/cookie/{email}", any(logins::cookie))
        .route("/query/{email}", any(logins::query))
        .route("/shared/{email}", any(logins::shared))
        .route("/param/{email}", any(logins::param))
        .route("/extension/{email}", any(logins::extension))
        .route("/function/{email}", any(logins::function))
        .route("/shadow/{email}", any(logins::shadow))
        .route("/checked/{email}", any(logins::checked))
        .route("/method/{email}", any(logins::Api::method))
        .route("/bare", any(logins::bare))
}

/// The requests of a test: the path, the client, header fields, and the status of the response.
type Step = (&'static str, [u8; 4], &'static [(&'static str, &'static str)], u16);

#[tokio::test]
async fn arguments_and_the_request_make_one_key() {
    const A: [u8; 4] = [192, 0, 2, 1];
    const B: [u8; 4] = [192, 0, 2, 2];
    let limiter = limiter(behind_a_proxy());
    let steps: &[Step] = &[
        ("/before/a", A, &[], 200),
        ("/before/a", A, &[], 429),
        ("/before/a", B, &[], 200),
        ("/before/b", A, &[], 200),
        // Behind a proxy, the client counts and not the proxy.
        ("/before/c", [10, 0, 0, 1], &[("x-forwarded-for", "198.51.100.1")], 200),
        ("/before/c", [10, 0, 0, 1], &[("x-forwarded-for", "198.51.100.1")], 429),
        ("/before/c", [10, 0, 0, 1], &[("x-forwarded-for", "198.51.100.2")], 200),
        ("/before/c", A, &[("x-forwarded-for", "198.51.100.3")], 200),
        ("/before/c", A, &[("x-forwarded-for", "198.51.100.4")], 429),
        ("/after/a", A, &[], 200),
        ("/after/A", A, &[], 429),
        ("/after/a", B, &[], 200),
        ("/between/a", A, &[], 200),
        ("/between/a", A, &[], 429),
        ("/between/a", B, &[], 200),
        ("/by-address/a", A, &[], 200),
        ("/by-address/b", A, &[], 429),
        ("/by-address/b", B, &[], 200),
        ("/header/a", A, &[("x-key", "1")], 200),
        ("/header/a", B, &[("x-key", "1")], 429),
        ("/header/a", A, &[("x-key", "2")], 200),
        ("/header/b", A, &[("x-key", "1")], 200),
        ("/header/a", A, &[], 400),
        ("/header/a", A, &[("x-key", "1"), ("x-key", "3")], 400),
        ("/cookie/a", A, &[("cookie", "sid=1")], 200),
        ("/cookie/a", A, &[("cookie", "sid=1")], 429),
        ("/cookie/a", A, &[("cookie", "sid=2")], 200),
        ("/cookie/a", B, &[("cookie", "sid=1")], 200),
        ("/cookie/a", B, &[("cookie", "sid=1; sid=2")], 400),
        ("/query/a?q=1", A, &[], 200),
        ("/query/a?q=1", A, &[], 429),
        ("/query/a?q=2", A, &[], 200),
        ("/query/a?q=1&q=3", A, &[], 400),
        ("/query/a", A, &[], 200),
        ("/query/a", A, &[], 200),
        ("/shared/a", A, &[], 200),
        ("/shared/a", B, &[], 429),
        ("/shared/b", B, &[], 200),
        ("/shared/b", B, &[("x-key", "1"), ("x-key", "2")], 400),
        ("/param/a", A, &[], 200),
        ("/param/a", B, &[], 429),
        ("/param/b", B, &[], 200),
        ("/extension/a", A, &[], 200),
        ("/extension/a", B, &[], 429),
        ("/function/a", A, &[("user-agent", "x")], 200),
        ("/function/a", B, &[("user-agent", "x")], 429),
        ("/function/a", B, &[("user-agent", "y")], 200),
        ("/function/a", B, &[], 400),
        ("/shadow/a", A, &[], 200),
        ("/shadow/a", A, &[("x-key", "1")], 200),
        ("/shadow/a", A, &[("x-key", "1")], 200),
        ("/checked/a", A, &[], 200),
        ("/checked/b", A, &[], 429),
        ("/checked/b", B, &[], 200),
        ("/method/a", A, &[], 200),
        ("/method/a", A, &[], 429),
        ("/method/a", B, &[], 200),
        ("/bare", A, &[], 200),
        ("/bare", A, &[], 429),
        ("/bare", B, &[], 200),
    ];
    let app = login_routes().layer(Extension(User("u")));
    let client = Client::new(app, &limiter);
    for (index, (path, address, fields, expected)) in steps.iter().enumerate() {
        let mut request = Request::post(*path);
        for (name, value) in *fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from("body")).unwrap();
        let response = scope(limiter.clone(), client.from(*address).send(request)).await;
        assert_eq!(response.status().as_u16(), *expected, "{index}: {path} {address:?} {fields:?}");
    }
}

#[tokio::test]
async fn a_server_that_lacks_a_part_is_at_fault_and_says_so_in_the_log() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::WARN);
    let limiter = limiter(HttpOptions::new());
    let app = login_routes().layer(limiter.layer());
    for (path, advice) in [
        ("/before/a", "into_make_service_with_connect_info"),
        ("/extension/a", "has no extension of type `http::client_addr::User`"),
    ] {
        for _ in 0..2 {
            let response = scope(limiter.clone(), support::send(&app, support::get(path))).await;
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let body = support::text(response).await;
            assert!(!body.contains("User") && !body.contains("onnect"), "{body}");
        }
        let log = log.text();
        assert_eq!(log.matches(advice).count(), 1, "{log}");
    }
}

/// The address of a connection, as a TLS acceptor or Lambda would put it into the request.
#[derive(Clone, Copy)]
struct Remote(IpAddr);

fn remote(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<Remote>().map(|remote| remote.0)
}

#[tokio::test]
async fn the_peer_can_be_elsewhere() {
    let mut subjects = Subjects::new(Key::ip(), behind_a_proxy().peer(remote));
    let mut of = async |address: &str, forwarded_for: &str| {
        let mut request = says("/", forwarded_for);
        if !address.is_empty() {
            request.extensions_mut().insert(Remote(address.parse().unwrap()));
        }
        subjects.of("203.0.113.5:1".parse().unwrap(), request).await
    };
    assert_eq!(of("203.0.113.6", "198.51.100.1").await, "203.0.113.6");
    assert_eq!(of("10.0.0.1", "198.51.100.1").await, "198.51.100.1");
    assert_eq!(of("::ffff:10.0.0.1", "198.51.100.1").await, "198.51.100.1");
    assert_eq!(of("64:ff9b::203.0.113.6", "198.51.100.1").await, "203.0.113.6");
    // Whoever is not there is where the server says.
    assert_eq!(of("", "198.51.100.1").await, "203.0.113.5");
}

#[tokio::test]
async fn a_header_with_one_address_is_believed_of_trusted_peers() {
    let options = behind_a_proxy().client_header("X-Real-IP").unwrap();
    let mut subjects = Subjects::new(Key::ip(), options);
    for (peer, lines, expected) in [
        ("203.0.113.5:1", &["198.51.100.1"] as &[_], "203.0.113.5"),
        ("10.0.0.1:1", &["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1:1", &[" 198.51.100.1\t"], "198.51.100.1"),
        ("10.0.0.1:1", &["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1:1", &["2001:db8:1:2::1"], "2001:db8:1:2/64"),
        ("10.0.0.1:1", &["[2001:db8:1:2::1]:80"], "2001:db8:1:2/64"),
        ("10.0.0.1:1", &["::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1:1", &["64:ff9b::198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1:1", &["198.51.100.1", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1:1", &["10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1:1", &["198.51.100.1", "198.51.100.2"], "10.0.0.1"),
        ("10.0.0.1:1", &["198.51.100.1, 198.51.100.2"], "10.0.0.1"),
        ("10.0.0.1:1", &["unknown"], "10.0.0.1"),
        ("10.0.0.1:1", &[""], "10.0.0.1"),
        ("10.0.0.1:1", &[], "10.0.0.1"),
    ] {
        // The lists that are read otherwise are not.
        let mut request = Request::get("/").header("x-forwarded-for", "198.51.100.9");
        for line in lines {
            request = request.header("x-real-ip", *line);
        }
        let request = request.body(Body::empty()).unwrap();
        assert_eq!(subjects.of(peer.parse().unwrap(), request).await, expected, "{peer} {lines:?}");
    }
    for (name, reason) in [
        ("x real ip", "no name of a header"),
        ("", "no name of a header"),
        ("X-Forwarded-For", "`forwarded_header`"),
        ("forwarded", "`forwarded_header`"),
    ] {
        let error = HttpOptions::new().client_header(name).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    for prefix in ["2001:db8::/33", "10.0.0.0/32", "2001:db8::1/96", "2001:db8:64::"] {
        let error = HttpOptions::new().nat64_prefixes([prefix]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{prefix}` is no prefix")), "{error}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_that_names_nobody_is_told_of_once() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::WARN);
    let mut subjects = Subjects::new(Key::ip(), behind_a_proxy());
    let mut told = 0;
    let long = format!("{}, \u{7f}", "a".repeat(100));
    let long = long.trim_end_matches('\u{7f}').to_owned() + &"b".repeat(100);
    for (peer, header, expected) in [
        // Whoever is not trusted is not asked.
        ("203.0.113.5:1", None, None),
        ("203.0.113.5:1", Some("unix:"), None),
        ("10.0.0.1:1", Some("198.51.100.1"), None),
        ("10.0.0.1:1", Some("unix:, 198.51.100.1"), None),
        ("10.0.0.1:1", None, Some("10.0.0.1 is a trusted proxy, but its request names no client")),
        ("10.0.0.1:2", None, None),
        ("10.0.0.1:1", Some("unix:"), Some("`x-forwarded-for` is no address: \"unix:\"")),
        ("10.0.0.1:1", Some("other"), None),
        ("10.0.0.2:1", Some("a\\\t\"\u{e9}"), Some(r#""a\\\t\"\xc3\xa9""#)),
        ("10.0.0.3:1", Some(&long), Some("bbb\"…")),
        // The inner proxy names the outer one, and that names nobody.
        ("10.0.0.1:1", Some("10.0.0.9"), Some("10.0.0.9 is a trusted proxy, but its request")),
        ("10.0.0.1:1", Some("?, 10.0.0.9"), Some("10.0.0.9 is a trusted proxy, but what it says")),
        ("10.0.0.1:1", Some("!, 10.0.0.9"), None),
    ] {
        let mut request = Request::get("/").body(Body::empty()).unwrap();
        if let Some(header) = header {
            let value = axum::http::HeaderValue::from_bytes(header.as_bytes()).unwrap();
            request.headers_mut().insert("x-forwarded-for", value);
        }
        subjects.of(peer.parse().unwrap(), request).await;
        let log = log.text();
        let lines: Vec<&str> = log.lines().collect();
        told += usize::from(expected.is_some());
        assert_eq!(lines.len(), told, "{peer} {header:?}: {log}");
        let last = lines.last().copied().unwrap_or_default();
        assert!(expected.is_none_or(|expected| last.contains(expected)), "{expected:?}: {last}");
        assert!(last.len() < 500, "{last}");
    }
    // However many there are, the log is bounded.
    for last in 0..=u8::MAX {
        let request = Request::get("/").body(Body::empty()).unwrap();
        subjects.of(SocketAddr::from(([10, 1, 0, last], 1)), request).await;
    }
    assert_eq!(log.text().lines().count(), 64);
}

/// Sends a request over a Unix socket, as nginx does by `proxy_pass http://unix:…`.
async fn over(socket: &std::path::Path, forwarded_for: &str) -> u16 {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let request = format!(
        "GET /net HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {forwarded_for}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn behind_a_unix_socket_clients_are_told_apart() {
    let local = IpAddr::from([127, 0, 0, 1]);
    let trusted = || HttpOptions::new().trusted_proxies(["127.0.0.1"]).unwrap();
    let by_layer = routes()
        .layer(limiter(trusted()).layer())
        .layer(Extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 0)))));
    let by_option = routes().layer(limiter(trusted().peer(move |_| Some(local))).layer());
    let neither = routes().layer(limiter(trusted()).layer());
    for (index, (app, expected)) in
        [(by_layer, [200, 429, 200, 200]), (by_option, [200, 429, 200, 200]), (neither, [500; 4])]
            .into_iter()
            .enumerate()
    {
        let name = format!("tollgate-{}-{index}.sock", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&socket).unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let mut statuses = [0; 4];
        let clients = ["198.51.100.1", "198.51.100.1", "2001:db8::9", "192.168.0.1"];
        for (status, client) in statuses.iter_mut().zip(clients) {
            *status = over(&socket, client).await;
        }
        server.abort();
        std::fs::remove_file(&socket).unwrap();
        assert_eq!(statuses, expected, "{index}");
    }
}

/// Finds the address as a handler, as a function, and as `exempt = net(…)` would.
#[derive(Debug, PartialEq)]
struct Seen {
    by_extractor: String,
    is_exempt: bool,
}

#[tokio::test]
async fn the_test_client_is_where_a_servers_is() {
    async fn peer(request: Request<Body>) -> Result<String, Infallible> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        Ok(peer.map(|peer| peer.0.to_string()).unwrap_or_default())
    }
    let app = Router::new().fallback(peer);
    let client = Client::new(app, &limiter(HttpOptions::new()));
    let said = support::text(client.from([198, 51, 100, 7]).get("/").await).await;
    assert_eq!(said, "198.51.100.7:4711");
}

fn hostile_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "(for=)?(192\\.168\\.0\\.1|10\\.0\\.0\\.1|fd00::1|198\\.51\\.100\\.[1-9])",
        "[ -~]{0,20}",
        "(for=\")?\\[?64:ff9b::192\\.168\\.0\\.1\\]?(\")?",
    ]
}

#[test]
fn no_header_of_an_untrusted_peer_changes_who_it_is_for_anybody() {
    const NAMES: [&str; 6] =
        ["x-forwarded-for", "forwarded", "x-real-ip", "host", "via", "client-ip"];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let all = [
        behind_a_proxy(),
        behind_a_proxy().forwarded_header(tollgate::http::ForwardedHeader::Forwarded),
        behind_a_proxy().client_header("x-real-ip").unwrap(),
        behind_a_proxy().peer(remote),
    ];
    for options in all {
        // The limit is never reached, so what is exempt shows by the fields that it lacks.
        let client = Client::new(routes(), &limiter(options));
        let config = ProptestConfig {
            cases: scaled(200, 5_000),
            failure_persistence: None,
            ..Default::default()
        };
        let peers = prop_oneof![
            Just(IpAddr::from([203, 0, 113, 5])),
            Just("64:ff9b::203.0.113.6".parse().unwrap()),
            Just("2001:db8:7::1".parse().unwrap()),
            Just(IpAddr::from([192, 168, 0, 1])),
        ];
        let headers = prop::collection::vec((0..NAMES.len(), hostile_value()), 0..6);
        let see = async |peer: IpAddr, headers: &[(usize, String)]| {
            let request = |path: &str| {
                let mut request = Request::get(path);
                for (name, value) in headers {
                    request = request.header(NAMES[*name], value);
                }
                request.body(Body::empty()).unwrap()
            };
            let client = client.from(peer);
            let net = client.send(request("/net")).await;
            Seen {
                by_extractor: support::text(client.send(request("/whoever")).await).await,
                is_exempt: !net.headers().contains_key("ratelimit-policy"),
            }
        };
        let mut runner = proptest::test_runner::TestRunner::new(config);
        let result = runner.run(&(peers, headers), |(peer, headers)| {
            let (without, with) =
                runtime.block_on(async { (see(peer, &[]).await, see(peer, &headers).await) });
            prop_assert_eq!(&with, &without);
            prop_assert_eq!(with.is_exempt, peer == IpAddr::from([192, 168, 0, 1]));
            Ok(())
        });
        result.unwrap();
    }
}
