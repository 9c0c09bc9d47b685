//! What a limiter does at the HTTP boundary, and what a policy says instead.

use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use support::log::Log;
use support::{FailingBackend, header, local, send, status};
use tollgate::http::{HeaderStyle, OnMissingKey, Problem, Reason, Refusal};
use tollgate::{
    Blocked, HttpOptions, IntoSubject, KeyExtractor, Limiter, MemoryBackend, RateLimited, Subject,
    rate_limit,
};

fn limiter(http: HttpOptions) -> Limiter {
    Limiter::builder(MemoryBackend::new()).http(http).build()
}

fn with(path: &str, name: &str, value: &str) -> Request<Body> {
    Request::get(path).header(name, value).body(Body::empty()).unwrap()
}

fn has(response: &Response<Body>, names: [&str; 2]) -> [bool; 2] {
    names.map(|name| response.headers().contains_key(name))
}

#[rate_limit(1, per = minute)]
async fn by_default() {}

#[rate_limit(1, per = minute, headers = ietf)]
async fn ietf() {}

#[rate_limit(1, per = minute, headers = legacy)]
async fn legacy() {}

#[rate_limit(1, per = minute, headers = both)]
async fn both() {}

#[rate_limit(1, per = minute, headers = none)]
async fn none() {}

#[tokio::test]
async fn a_policys_headers_come_before_the_limiters() {
    let routes = Router::new()
        .route("/default", get(by_default))
        .route("/ietf", get(ietf))
        .route("/legacy", get(legacy))
        .route("/both", get(both))
        .route("/none", get(none));
    for (style, by_default) in [
        (HeaderStyle::Ietf, [true, false]),
        (HeaderStyle::Legacy, [false, true]),
        (HeaderStyle::Both, [true, true]),
        (HeaderStyle::None, [false, false]),
    ] {
        let app = local(routes.clone(), &limiter(HttpOptions::new().headers(style)));
        for (path, expected) in [
            ("/default", by_default),
            ("/ietf", [true, false]),
            ("/legacy", [false, true]),
            ("/both", [true, true]),
            ("/none", [false, false]),
        ] {
            for status in [200, 429] {
                let response = send(&app, support::get(path)).await;
                assert_eq!(response.status(), status);
                assert_eq!(has(&response, ["ratelimit", "x-ratelimit-limit"]), expected, "{path}");
                assert_eq!(response.headers().contains_key("retry-after"), status == 429);
            }
        }
    }
}

fn own(refusal: &Refusal<'_>) -> impl IntoResponse {
    let why = match refusal.reason() {
        Reason::QuotaExceeded(decision) => format!("{:?}", decision.remaining()),
        Reason::Unavailable(_) => "down".to_owned(),
        Reason::NoKey(error) => error.to_string(),
        _ => "?".to_owned(),
    };
    let path = refusal.request().map(|request| request.uri.path().to_owned());
    (StatusCode::IM_A_TEAPOT, format!("{} {why} {}", refusal.policy().label(), path.unwrap()))
}

#[rate_limit(1, per = minute, refusal = self::own, key = header("x-api-key"))]
async fn answers_itself() {}

#[rate_limit(1, per = minute, refusal = crate::http_options::changed, name = "api")]
async fn changes_the_problem() {}

fn changed(refusal: &Refusal<'_>) -> Problem {
    refusal.problem().type_uri("https://example.org/slow").detail("Slow down.").instance("urn:7")
}

fn routes() -> Router {
    Router::new()
        .route("/own", get(answers_itself))
        .route("/changed", get(changes_the_problem))
        .route("/default", get(by_default))
}

#[tokio::test]
async fn refusals_are_replaced_by_policy_and_by_limiter() {
    let http = HttpOptions::new().refusal(|refusal| (refusal.status(), "the limiter's"));
    let app = local(routes(), &limiter(http));
    let keyed = || with("/own", "x-api-key", "secret");
    assert_eq!(status(&app, keyed()).await, StatusCode::OK);
    let refused = send(&app, keyed()).await;
    assert_eq!(refused.status(), StatusCode::IM_A_TEAPOT);
    // What the function leaves out is there all the same.
    assert_eq!(header(&refused, "retry-after"), Some("60"));
    assert_eq!(header(&refused, "cache-control"), Some("no-store"));
    assert_eq!(header(&refused, "ratelimit"), Some(r#""answers_itself";r=0;t=60"#));
    assert_eq!(support::text(refused).await, "answers_itself 0 /own");
    let missing = send(&app, support::get("/own")).await;
    assert_eq!(
        support::text(missing).await,
        "answers_itself the header `x-api-key` is required /own"
    );

    assert_eq!(status(&app, support::get("/changed")).await, StatusCode::OK);
    let expected = serde_json::json!({
        "type": "https://example.org/slow",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "detail": "Slow down.",
        "instance": "urn:7",
        "violated-policies": ["api"],
    });
    let refused = send(&app, support::get("/changed")).await;
    assert_eq!(header(&refused, "content-type"), Some("application/problem+json"));
    assert_eq!(support::json(refused).await, expected);

    assert_eq!(status(&app, support::get("/default")).await, StatusCode::OK);
    let refused = send(&app, support::get("/default")).await;
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (429, Some("60")));
    assert_eq!(support::text(refused).await, "the limiter's");
}

#[tokio::test]
async fn a_replaced_refusal_is_told_of_outages() {
    let http = HttpOptions::new().refusal(|refusal| (refusal.status(), "the limiter's"));
    let app = local(routes(), &Limiter::builder(FailingBackend).http(http).build());
    let down = send(&app, with("/own", "x-api-key", "secret")).await;
    assert_eq!(header(&down, "retry-after"), Some("1"));
    assert_eq!(support::text(down).await, "answers_itself down /own");
    let down = send(&app, support::get("/default")).await;
    assert_eq!((down.status().as_u16(), header(&down, "retry-after")), (503, Some("1")));
}

#[rate_limit(1, per = hour, key = args())]
async fn a_job() -> Result<(), RateLimited> {
    Ok(())
}

/// A handler that is limited as a function answers as its limiter says.
#[tokio::test]
async fn the_refusal_of_a_function_is_the_limiters() {
    let http = HttpOptions::new().headers(HeaderStyle::Legacy).refusal(|refusal| {
        assert!(refusal.request().is_none());
        (refusal.status(), "the limiter's")
    });
    tollgate::testing::scope(limiter(http), async {
        a_job().await.unwrap();
        let response = a_job().await.unwrap_err().into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(header(&response, "x-ratelimit-remaining"), Some("0"));
        assert_eq!(support::text(response).await, "the limiter's");
    })
    .await;
}

#[rate_limit(1, per = minute, key = header("x-api-key"))]
async fn as_the_limiter_says() {}

#[rate_limit(1, per = minute, key = header("x-api-key"), on_missing_key = reject)]
async fn rejects() {}

#[rate_limit(1, per = minute, key = (ip, header("x-api-key")), on_missing_key = shared)]
async fn shares() {}

#[rate_limit(1, per = minute, key = header("x-api-key"), on_missing_key = exempt)]
async fn exempts() {}

#[rate_limit(1, per = minute, key = extension(u8), on_missing_key = exempt)]
async fn exempts_strangers() {}

#[tokio::test]
async fn a_missing_key_is_refused_shared_or_exempt() {
    let routes = Router::new()
        .route("/default", get(as_the_limiter_says))
        .route("/reject", get(rejects))
        .route("/shared", get(shares))
        .route("/exempt", get(exempts))
        .route("/strangers", get(exempts_strangers));
    for (mode, by_default) in [
        (OnMissingKey::Reject, [400, 400]),
        (OnMissingKey::Shared, [200, 429]),
        (OnMissingKey::Exempt, [200, 200]),
    ] {
        let app = local(routes.clone(), &limiter(HttpOptions::new().on_missing_key(mode)));
        for (path, expected) in [
            ("/default", by_default),
            ("/reject", [400, 400]),
            ("/shared", [200, 429]),
            ("/exempt", [200, 200]),
            ("/strangers", [200, 200]),
        ] {
            let mut found = [0; 2];
            for found in &mut found {
                *found = status(&app, support::get(path)).await.as_u16();
            }
            assert_eq!(found, expected, "{path} {mode:?}");
            if path != "/strangers" {
                // Who has the key is counted apart.
                assert_eq!(status(&app, with(path, "x-api-key", "mine")).await, StatusCode::OK);
                let again = status(&app, with(path, "x-api-key", "mine")).await;
                assert_eq!(again, StatusCode::TOO_MANY_REQUESTS);
            }
        }
    }
}

async fn tenant(parts: &Parts) -> Option<&str> {
    tokio::task::yield_now().await;
    parts.headers.get("x-tenant")?.to_str().ok()
}

struct Suffixed(&'static str);

impl KeyExtractor for Suffixed {
    async fn subject(&self, parts: &Parts) -> Option<Subject> {
        tenant(parts).await?.strip_suffix(self.0).into_subject()
    }
}

static SUFFIXED: Suffixed = Suffixed(".example");

#[rate_limit(1, per = minute, key = self::tenant)]
async fn by_async_function() {}

#[rate_limit(1, per = minute, key = (self::SUFFIXED, self::tenant))]
async fn by_extractor() {}

#[tokio::test]
async fn async_functions_and_extractors_are_keys() {
    let routes = Router::new().route("/a", get(by_async_function)).route("/b", get(by_extractor));
    let app = local(routes, &limiter(HttpOptions::new()));
    let from = |path, tenant| with(path, "x-tenant", tenant);
    for (path, tenant, expected) in [
        ("/a", "x", 200),
        ("/a", "y", 200),
        ("/a", "x", 429),
        ("/b", "x.example", 200),
        ("/b", "x.example", 429),
        ("/b", "x", 400),
    ] {
        assert_eq!(status(&app, from(path, tenant)).await, expected, "{path} {tenant}");
    }
    assert_eq!(status(&app, support::get("/a")).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn trusted_proxies_are_the_limiters() {
    let http = HttpOptions::new().trusted_proxies(["192.0.2.0/24"]).unwrap();
    let app = local(routes(), &limiter(http));
    for (client, expected) in [("198.51.100.1", 200), ("198.51.100.2", 200), ("198.51.100.1", 429)]
    {
        let request = with("/default", "x-forwarded-for", client);
        assert_eq!(status(&app, request).await, expected);
    }
}

static SUBJECTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(blocked: &Blocked<'_>) {
    SUBJECTS.lock().unwrap().push(blocked.subject().to_owned());
}

#[rate_limit(1, per = minute, key = header("authorization"), on_blocked = self::note)]
async fn with_credentials() {}

#[rate_limit(1, per = minute, key = cookie("sid"), on_blocked = self::note)]
async fn with_session() {}

#[tokio::test]
async fn credentials_are_never_seen_again() {
    let routes = Router::new().route("/a", get(with_credentials)).route("/b", get(with_session));
    let app = local(routes, &limiter(HttpOptions::new()));
    for _ in 0..2 {
        status(&app, with("/a", "authorization", "Bearer hunter2")).await;
        status(&app, with("/b", "cookie", "a=1; sid=hunter2")).await;
    }
    let subjects = SUBJECTS.lock().unwrap();
    assert_eq!(subjects.len(), 2);
    for subject in subjects.iter() {
        assert!(subject.len() == 32 && subject.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

#[tokio::test]
async fn an_unknown_address_is_warned_of_once_and_answered_always() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);
    // No layer, and no server, tells the handler who has connected.
    let app = routes().layer(limiter(HttpOptions::new()).layer());
    for _ in 0..3 {
        let response = send(&app, support::get("/default")).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = support::json(response).await;
        assert!(!body.to_string().contains("onnect"), "{body}");
    }
    let log = log.text();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 1, "{log}");
    for advice in [
        "WARN",
        "`axum::extract::ConnectInfo<std::net::SocketAddr>`",
        "`into_make_service_with_connect_info::<SocketAddr>()`",
        "`Extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 0))))`",
        "`HttpOptions::peer`",
        "MockConnectInfo",
    ] {
        assert!(lines[0].contains(advice), "{advice}: {log}");
    }
}

/// Whoever trusts everybody lets clients choose their address, and is told so at the start.
#[test]
fn trust_in_everybody_is_told_once() {
    for (proxies, lines) in [
        (&["0.0.0.0/0"] as &[&str], 1),
        (&["::/0"], 1),
        (&["10.0.0.0/8", "0.0.0.0/0", "::/0"], 1),
        (&["128.0.0.0/1"], 1),
        (&["2000::/3"], 1),
        (&["10.0.0.0/8", "fd00::/16", "2001:db8::7", "::ffff:10.0.0.0/104"], 0),
    ] {
        let (log, _listening) = support::log::Log::of_this_thread(tracing::Level::WARN);
        let http = HttpOptions::new().trusted_proxies(proxies).unwrap();
        let limiter = Limiter::builder(tollgate::MemoryBackend::new()).http(http).build();
        drop(limiter);
        let text = log.text();
        assert_eq!(text.matches("`trusted_proxies` contains").count(), lines, "{proxies:?} {text}");
    }
}
