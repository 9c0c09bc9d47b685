//! Limits that depend on a handler's arguments: asked when these are there, and answered like the
//! limits before.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body::Frame;
use proptest::prelude::*;
use serde::Deserialize;
use support::{header, limiter, local, scaled, send, status};
use tollgate::http::Refusal;
use tollgate::testing::{Client, ManualClock};
use tollgate::{
    Blocked, ClientAddr, HttpOptions, Limiter, MemoryBackend, Policy, Quota, RateLimit,
    RateLimitLayer, rate_limit,
};

#[derive(Deserialize)]
struct Login {
    email: String,
    password: String,
}

#[derive(Clone)]
struct Passwords(&'static str);

/// Four sign-ins of an address, and two failures of an address with an account.
#[rate_limit(4, per = "15m", name = "address")]
#[rate_limit(
    2,
    per = "15m",
    key = (args(login.email.trim().to_lowercase()), ip),
    name = "account",
    refund_if = success
)]
async fn sign_in(
    State(passwords): State<Passwords>,
    client: ClientAddr,
    Json(login): Json<Login>,
) -> (StatusCode, String) {
    let is_right = login.password == passwords.0;
    let status = if is_right { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    (status, client.to_string())
}

fn sign_ins() -> Router {
    Router::new().route("/", post(sign_in)).with_state(Passwords("right"))
}

/// A request as a trusted proxy passes it on.
fn passed_on(client: &str, body: String) -> Request<Body> {
    let mut request = support::post("/", "application/json", body);
    request.headers_mut().insert("x-forwarded-for", client.parse().unwrap());
    request
}

fn behind_a_proxy() -> Limiter {
    let memory = MemoryBackend::builder().clock(ManualClock::new()).build();
    let http = HttpOptions::new().trusted_proxies(["10.0.0.0/8"]).unwrap();
    Limiter::builder(memory).http(http).build()
}

const PROXY: [u8; 4] = [10, 0, 0, 1];

/// The lines of the field `RateLimit`, joined; the waits are left out.
fn left(response: &Response<Body>) -> String {
    let lines = response.headers().get_all("ratelimit").iter();
    let items = lines.flat_map(|line| line.to_str().unwrap().split(", "));
    let items: Vec<&str> = items.map(|item| item.split(";t=").next().unwrap()).collect();
    items.join(", ")
}

#[tokio::test]
async fn failed_sign_ins_count_by_account_and_address_behind_a_trusted_proxy() {
    let limiter = behind_a_proxy();
    limiter.initialize().await.unwrap();
    let client = Client::new(sign_ins(), &limiter);
    let login = async |address: &str, email: &str, password: &str| {
        let body = format!(r#"{{"email":"{email}","password":"{password}"}}"#);
        client.from(PROXY).send(passed_on(address, body)).await
    };
    let (a, b) = ("192.0.2.1", "192.0.2.2");

    let failed = login(a, "alice@a.example", "wrong").await;
    assert_eq!(failed.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(left(&failed), r#""address";r=3, "account";r=1"#);
    assert_eq!(support::text(failed).await, a);
    let failed = login(a, " Alice@A.example", "wrong").await;
    assert_eq!(failed.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(left(&failed), r#""address";r=2, "account";r=0"#);

    // The account is refused, before the password is looked at. The address gets its unit back.
    let refused = login(a, "alice@a.example", "right").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "retry-after"), Some("900"));
    assert_eq!(header(&refused, "content-type"), Some("application/problem+json"));
    assert_eq!(left(&refused), r#""account";r=0"#);
    let problem = support::json(refused).await;
    assert_eq!(problem["violated-policies"][0], "account", "{problem}");

    // Neither another account of the address is refused, nor the account from elsewhere.
    let failed = login(a, "bob@a.example", "wrong").await;
    assert_eq!(left(&failed), r#""address";r=1, "account";r=1"#);
    let right = login(b, "alice@a.example", "right").await;
    assert_eq!(
        (right.status(), left(&right)),
        (StatusCode::OK, r#""address";r=3, "account";r=2"#.into())
    );

    // A body that is no login counts for the address alone.
    for _ in 0..2 {
        let rejected = client.from(PROXY).send(passed_on(b, r#"{"email":1}"#.into())).await;
        assert_eq!(rejected.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(left(&rejected).starts_with(r#""address";r="#), "{}", left(&rejected));
        assert!(!left(&rejected).contains("account"), "{}", left(&rejected));
    }
    let right = login(b, "alice@a.example", "right").await;
    assert_eq!(left(&right), r#""address";r=0, "account";r=2"#);

    // The address is refused before its body is read.
    let refused = client.from(PROXY).send(passed_on(b, "{".into())).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(left(&refused), r#""address";r=0"#);
    // Who is not behind the proxy cannot say who it is.
    let body = r#"{"email":"a","password":"wrong"}"#;
    let direct = client.from([192, 0, 2, 9]).send(passed_on(b, body.into())).await;
    assert_eq!(support::text(direct).await, "192.0.2.9");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(scaled(24, 400)))]

    /// Random requests of a few clients and accounts, against counters.
    #[test]
    fn who_passes_is_who_the_counters_let_pass(
        requests in prop::collection::vec((0..2_u8, 0..3_u8, 0..4_u8), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let limiter = behind_a_proxy();
        let client = Client::new(sign_ins(), &limiter);
        let (mut of_address, mut of_account) = (HashMap::new(), HashMap::new());
        for (step, &(address, email, kind)) in requests.iter().enumerate() {
            let body = match kind {
                0 => "{}".to_owned(),
                1 => format!(r#"{{"email":"{email}","password":"right"}}"#),
                _ => format!(r#"{{"email":"{email}","password":"wrong"}}"#),
            };
            let request = passed_on(&format!("192.0.2.{address}"), body);
            let response = runtime.block_on(client.from(PROXY).send(request));
            let address_count = of_address.entry(address).or_insert(0);
            let account_count = of_account.entry((address, email)).or_insert(0);
            let expected = if *address_count == 4 {
                429
            } else if kind == 0 {
                *address_count += 1;
                422
            } else if *account_count == 2 {
                429
            } else {
                *address_count += 1;
                *account_count += u32::from(kind != 1);
                if kind == 1 { 200 } else { 401 }
            };
            prop_assert_eq!(response.status().as_u16(), expected, "step {}", step);
            if matches!(expected, 200 | 401) {
                let fields = format!(
                    r#""address";r={}, "account";r={}"#, 4 - *address_count, 2 - *account_count
                );
                prop_assert_eq!(left(&response), fields, "step {}", step);
            }
        }
    }
}

#[derive(Deserialize)]
struct Batch {
    items: Vec<u8>,
    #[serde(default)]
    units: i64,
}

#[rate_limit(10, per = minute, cost = args(batch.items.len()))]
async fn embed(Json(batch): Json<Batch>) -> Html<String> {
    Html(batch.items.len().to_string())
}

/// The key is of the request; the cost follows it by an argument.
#[rate_limit(10, per = minute, key = header("x-key"), cost = args(batch.units))]
async fn complete(Json(batch): Json<Batch>) -> String {
    batch.units.to_string()
}

#[tokio::test]
async fn the_cost_is_an_argument() {
    let (limiter, _clock) = limiter();
    let routes = Router::new().route("/embed", post(embed)).route("/complete", post(complete));
    let app = local(routes, &limiter);
    let embed = async |items: usize| {
        let body = format!(r#"{{"items":{:?}}}"#, vec![0; items]);
        let response = send(&app, support::post("/embed", "application/json", body)).await;
        (response.status().as_u16(), left(&response), header(&response, "retry-after").is_some())
    };
    let told = |left: u32| format!(r#""embed";r={left}"#);
    assert_eq!(embed(3).await, (200, told(7), false));
    assert_eq!(embed(0).await, (200, told(7), false));
    assert_eq!(embed(8).await, (429, told(7), true));
    assert_eq!(embed(11).await, (413, told(7), false));
    assert_eq!(embed(7).await, (200, told(0), false));
    assert_eq!(embed(0).await, (200, told(0), false));
    let rejected = support::post("/embed", "application/json", "{");
    assert_eq!(status(&app, rejected).await, StatusCode::BAD_REQUEST);

    let complete = async |units: i64| {
        let body = format!(r#"{{"items":[],"units":{units}}}"#);
        let mut request = support::post("/complete", "application/json", body);
        request.headers_mut().insert("x-key", "k".parse().unwrap());
        status(&app, request).await.as_u16()
    };
    assert_eq!(complete(4).await, 200);
    // None of these is a number of units that could be charged, and none passes for less.
    for units in [-1, i64::MIN, i64::MAX, 1 << 32, (1 << 32) + 1] {
        assert_eq!(complete(units).await, 413, "{units}");
    }
    assert_eq!([complete(7).await, complete(6).await, complete(1).await], [429, 200, 429]);
}

/// Handlers of every kind of result and of argument, each with one unit for each `id`.
mod kinds {
    use super::*;

    #[rate_limit(1, per = 60, key = (args(id), ip))]
    pub(super) async fn unit(Path(id): Path<u32>) {
        let _ = id;
    }

    #[rate_limit(1, per = 60, key = (ip, args(id)))]
    pub(super) async fn opaque(Path(mut id): Path<u32>) -> impl IntoResponse {
        id += 1;
        Html(id.to_string())
    }

    #[rate_limit(1, per = 60, key = (args(id.0), global))]
    pub(super) async fn result(id: Path<u32>) -> Result<Json<u32>, StatusCode> {
        Err(StatusCode::from_u16(200).map_err(|_| StatusCode::IM_A_TEAPOT)?)?;
        Ok(Json(id.0))
    }

    #[axum::debug_handler]
    #[rate_limit(1, per = 60, key = (args(id, 7), ip))]
    pub(super) async fn debugged(Path(id): Path<u32>, _: String) -> Response {
        id.to_string().into_response()
    }

    #[rate_limit(1, per = 60, key = (args(id), ip))]
    #[axum::debug_handler]
    pub(super) async fn debugged_below(Path(id): Path<u32>, _: String) -> String {
        id.to_string()
    }

    #[rate_limit(1, per = 60, key = (args(path.0), ip))]
    pub(super) async fn generic<T>(path: Path<T>, _: State<()>) -> String
    where
        T: std::fmt::Display + Send + 'static,
    {
        path.0.to_string()
    }

    type Q = Query<HashMap<String, String>>;

    #[allow(clippy::too_many_arguments, reason = "as many as axum accepts")]
    #[rate_limit(1, per = 60, key = (args(p, id), ip))]
    pub(super) async fn sixteen(
        Path(id): Path<u32>,
        _: Q,
        _: Q,
        _: Q,
        _: Q,
        _: Q,
        _: Q,
        _: Q,
        _: Q,
        _: Q,
        _: Q,
        _: Q,
        _: Q,
        _: Q,
        _: RateLimit,
        p: String,
    ) -> String {
        format!("{id} {p}")
    }

    pub(super) struct Api;

    impl Api {
        /// No limit stands before the extraction, so the block needs no attribute.
        #[rate_limit(1, per = 60, key = (args(id), ip))]
        pub(super) async fn associated(Path(id): Path<u32>) -> String {
            id.to_string()
        }
    }

    #[rate_limit]
    impl Api {
        #[rate_limit(50, per = 60, key = ip)]
        #[rate_limit(1, per = 60, key = args(id))]
        pub(super) async fn stacked(State(()): State<()>, Path(id): Path<u32>) -> &'static str {
            if id == 0 { "none" } else { "some" }
        }
    }
}

#[tokio::test]
async fn every_kind_of_handler_is_limited_by_its_arguments() {
    let routes = Router::new()
        .route("/unit/{id}", post(kinds::unit))
        .route("/opaque/{id}", post(kinds::opaque))
        .route("/result/{id}", post(kinds::result))
        .route("/debugged/{id}", post(kinds::debugged))
        .route("/debugged-below/{id}", post(kinds::debugged_below))
        .route("/generic/{id}", post(kinds::generic::<u32>))
        .route("/sixteen/{id}", post(kinds::sixteen))
        .route("/associated/{id}", post(kinds::Api::associated))
        .route("/stacked/{id}", post(kinds::Api::stacked));
    let (limiter, _clock) = limiter();
    let app = local(routes, &limiter);
    let kinds = [
        "unit",
        "opaque",
        "result",
        "debugged",
        "debugged-below",
        "generic",
        "sixteen",
        "associated",
        "stacked",
    ];
    for kind in kinds {
        for (id, expected) in [("1", 200), ("1", 429), ("2", 200), ("x", 400), ("2", 429)] {
            let response =
                send(&app, support::post(&format!("/{kind}/{id}"), "text/plain", "")).await;
            assert_eq!(response.status(), expected, "{kind} {id}");
            let is_told = header(&response, "ratelimit").is_some();
            let is_early = kind == "stacked";
            assert_eq!(is_told, expected != 400 || is_early, "{kind} {id}");
            if expected == 429 {
                let kind_of_body = header(&response, "content-type");
                assert_eq!(kind_of_body, Some("application/problem+json"), "{kind}");
            }
        }
    }
}

static BLOCKED: AtomicU32 = AtomicU32::new(0);

fn is_internal(parts: &Parts) -> bool {
    parts.headers.contains_key("x-internal")
}

fn count_blocked(blocked: &Blocked<'_>) {
    // The request is shown, from before the arguments were extracted.
    let request = blocked.request().unwrap();
    BLOCKED.fetch_add(u32::from(request.headers.contains_key("x-seen")), Ordering::Relaxed);
}

fn slow_down(refusal: &Refusal<'_>) -> (StatusCode, String) {
    (refusal.status(), format!("slow down at {}", refusal.request().unwrap().uri.path()))
}

#[rate_limit(
    1,
    per = 60,
    key = (args(id), ip),
    exempt = self::is_internal,
    on_blocked = self::count_blocked,
    refusal = self::slow_down,
    headers = legacy,
    skip_on_error
)]
async fn with_options(Path(id): Path<u32>) -> String {
    id.to_string()
}

#[rate_limit(1, per = 60, key = (args(id), ip), shadow)]
async fn in_shadow(Path(id): Path<u32>) -> String {
    id.to_string()
}

#[tokio::test]
async fn options_mean_what_they_mean_before_the_extraction() {
    let (limiter, _clock) = limiter();
    let routes =
        Router::new().route("/a/{id}", get(with_options)).route("/shadow/{id}", get(in_shadow));
    let app = local(routes, &limiter);
    let request =
        |field: &'static str| Request::get("/a/1").header(field, "1").body(Body::empty()).unwrap();
    for _ in 0..2 {
        let exempt = send(&app, request("x-internal")).await;
        assert_eq!((exempt.status(), header(&exempt, "x-ratelimit-limit")), (StatusCode::OK, None));
    }
    let first = send(&app, request("x-seen")).await;
    assert_eq!(header(&first, "x-ratelimit-remaining"), Some("0"));
    assert_eq!(header(&first, "ratelimit"), None);
    let refused = send(&app, request("x-seen")).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(support::text(refused).await, "slow down at /a/1");
    assert_eq!(BLOCKED.load(Ordering::Relaxed), 1);
    for _ in 0..2 {
        let passed = send(&app, support::get("/shadow/1")).await;
        assert_eq!((passed.status(), header(&passed, "ratelimit")), (StatusCode::OK, None));
    }
    // While the store fails, `skip_on_error` passes and the default does not.
    let failing = Limiter::new(support::FailingBackend);
    let routes =
        Router::new().route("/a/{id}", get(with_options)).route("/b/{id}", post(kinds::unit));
    let app = local(routes, &failing);
    assert_eq!(status(&app, support::get("/a/1")).await, StatusCode::OK);
    let refused = status(&app, support::post("/b/1", "text/plain", "")).await;
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
}

#[rate_limit(1, per = 60, key = (args(id), ip), name = "minute")]
#[rate_limit(1, per = hour, key = args(id), name = "hour")]
async fn two(Path(id): Path<u32>) -> String {
    id.to_string()
}

/// A body that is still on its way.
struct OnItsWay;

impl HttpBody for OnItsWay {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// The second limit is peeked when the first refuses, because the retry has to pass both.
#[tokio::test]
async fn the_retry_passes_all_limits_behind() {
    let (limiter, clock) = limiter();
    let app = local(Router::new().route("/{id}", post(two)), &limiter);
    let post = || support::post("/1", "text/plain", Body::new(OnItsWay));
    assert_eq!(status(&app, post()).await, StatusCode::OK);
    let refused = send(&app, post()).await;
    assert_eq!(header(&refused, "retry-after"), Some("3600"));
    // No argument takes the body, so it is still on its way.
    assert_eq!(header(&refused, "connection"), Some("close"));
    clock.advance(Duration::from_secs(3600));
    assert_eq!(status(&app, post()).await, StatusCode::OK);
}

#[rate_limit(5, per = 60, key = (args(), ip), name = "once")]
async fn behind_a_layer(_: String) {}

#[tokio::test]
async fn a_layer_and_a_handler_of_one_policy_count_a_request_once() {
    let (limiter, _clock) = limiter();
    let policy = Policy::new("once", Quota::per_minute(5));
    let layer = RateLimitLayer::new(policy.clone());
    let app = local(Router::new().route("/", post(behind_a_layer)).layer(layer), &limiter);
    for used in 1..=3 {
        assert_eq!(status(&app, support::post("/", "text/plain", "")).await, StatusCode::OK);
        let left = limiter.peek(&policy, "192.0.2.1", 0).await.unwrap().remaining();
        assert_eq!(5 - left, used);
    }
}

#[rate_limit(1, per = second, wait = "2s")]
async fn patient() {}

#[rate_limit(1, per = second, key = (args(id), ip), wait = "2s", refund_if = failure)]
async fn patient_by_argument(Path(id): Path<u32>) -> StatusCode {
    if id == 0 { StatusCode::BAD_GATEWAY } else { StatusCode::OK }
}

#[tokio::test]
async fn handlers_wait_for_their_turn() {
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let limiter = Limiter::builder(backend).clock(clock.clone()).build();
    let routes = Router::new()
        .route("/plain", get(patient))
        .route("/by-argument/{id}", get(patient_by_argument));
    let app = local(routes, &limiter);
    let mut context = Context::from_waker(Waker::noop());
    for path in ["/plain", "/by-argument/1"] {
        assert_eq!(status(&app, support::get(path)).await, StatusCode::OK);
        // One gives up, the next is admitted when a second has passed. Three can be admitted within
        // the time to wait if nothing is in use, so the fourth in line need not even wait.
        let mut gives_up = Box::pin(send(&app, support::get(path)));
        assert!(gives_up.as_mut().poll(&mut context).is_pending(), "{path}");
        drop(gives_up);
        let mut second = pin!(send(&app, support::get(path)));
        assert!(second.as_mut().poll(&mut context).is_pending(), "{path}");
        let mut third = pin!(send(&app, support::get(path)));
        assert!(third.as_mut().poll(&mut context).is_pending(), "{path}");
        let mut impatient = pin!(send(&app, support::get(path)));
        assert!(impatient.as_mut().poll(&mut context).is_pending(), "{path}");
        let refused = send(&app, support::get(path)).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS, "{path}");
        assert!(header(&refused, "retry-after").is_some(), "{path}");
        clock.advance(Duration::from_secs(1));
        let admitted = second.await;
        assert_eq!(admitted.status(), StatusCode::OK, "{path}");
        assert!(left(&admitted).ends_with("r=0"), "{path}: {}", left(&admitted));
        clock.advance(Duration::from_secs(1));
        assert_eq!(third.await.status(), StatusCode::OK, "{path}");
        assert_eq!(impatient.await.status(), StatusCode::TOO_MANY_REQUESTS, "{path}");
        clock.advance(Duration::from_secs(5));
    }
    // Who has waited gets its unit back, too.
    assert_eq!(status(&app, support::get("/by-argument/0")).await, StatusCode::BAD_GATEWAY);
    assert_eq!(status(&app, support::get("/by-argument/0")).await, StatusCode::BAD_GATEWAY);
}
