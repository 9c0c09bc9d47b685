//! What each option of an annotated handler does.

use std::fmt;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::get;
use support::{FailingBackend, header, limiter, local, send};
use tollgate::{Blocked, Limiter, rate_limit};

/// The statuses of requests sent one after another.
async fn statuses<const N: usize>(app: &Router, requests: [Request<Body>; N]) -> [u16; N] {
    let mut statuses = [0; N];
    for (status, request) in statuses.iter_mut().zip(requests) {
        *status = send(app, request).await.status().as_u16();
    }
    statuses
}

fn get_with(path: &str, name: &'static str, value: &str) -> Request<Body> {
    Request::get(path).header(name, value).body(Body::empty()).unwrap()
}

async fn app(routes: Router) -> Router {
    local(routes, &limiter().0)
}

fn weight(parts: &Parts) -> u32 {
    parts.headers.get("x-weight").and_then(|weight| weight.to_str().ok()?.parse().ok()).unwrap_or(1)
}

const TWO: u32 = 2;

#[rate_limit(10, per = minute, cost = self::weight)]
async fn weighted() {}

#[rate_limit(5, per = minute, cost = TWO)]
async fn costs_two() {}

#[tokio::test]
async fn cost_is_what_a_request_takes() {
    let app = app(Router::new().route("/w", get(weighted)).route("/2", get(costs_two))).await;
    let weighing = |weight| get_with("/w", "x-weight", weight);
    let requests = [weighing("7"), weighing("4"), weighing("3"), weighing("1"), weighing("0")];
    assert_eq!(statuses(&app, requests).await, [200, 429, 200, 429, 200]);
    let never = send(&app, weighing("11")).await;
    assert_eq!((never.status().as_u16(), header(&never, "retry-after")), (413, None));
    let requests = [support::get("/2"), support::get("/2"), support::get("/2")];
    assert_eq!(statuses(&app, requests).await, [200, 200, 429]);
}

fn is_internal(parts: &Parts) -> bool {
    parts.headers.contains_key("x-internal")
}

#[rate_limit(1, per = minute, exempt = self::is_internal)]
async fn exempted() {}

#[tokio::test]
async fn exempt_requests_are_not_counted() {
    let app = app(Router::new().route("/", get(exempted))).await;
    let internal = || get_with("/", "x-internal", "1");
    let requests = [internal(), support::get("/"), internal(), support::get("/"), internal()];
    assert_eq!(statuses(&app, requests).await, [200, 200, 200, 429, 200]);
    assert_eq!(header(&send(&app, internal()).await, "ratelimit"), None);
}

#[rate_limit(2, per = minute, group = "search")]
async fn search_text() {}

#[rate_limit(2, per = minute, group = "search")]
async fn search_images() {}

#[tokio::test]
async fn a_group_shares_one_budget() {
    let routes = Router::new().route("/t", get(search_text)).route("/i", get(search_images));
    let app = app(routes).await;
    let first = send(&app, support::get("/t")).await;
    assert_eq!(header(&first, "ratelimit-policy"), Some(r#""search";q=2;w=60"#));
    let requests = [support::get("/i"), support::get("/t"), support::get("/i")];
    assert_eq!(statuses(&app, requests).await, [200, 429, 429]);
}

static BLOCKED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(blocked: &Blocked<'_>) {
    BLOCKED.lock().unwrap().push(format!(
        "{} {} {} {} {:?}",
        blocked.policy().label(),
        blocked.subject(),
        blocked.request().unwrap().uri.path(),
        blocked.is_shadow(),
        blocked.decision().retry_after(),
    ));
}

#[rate_limit(1, per = minute, on_blocked = self::note)]
async fn noted() {}

#[rate_limit(1, per = minute, shadow, on_blocked = self::note)]
async fn shadowed() {}

#[tokio::test]
async fn on_blocked_hears_of_every_refusal_and_shadow_refuses_nobody() {
    let routes = Router::new().route("/noted", get(noted)).route("/shadowed", get(shadowed));
    let app = app(routes.clone()).await;
    let noted = || support::get("/noted");
    assert_eq!(statuses(&app, [noted(), noted(), noted()]).await, [200, 429, 429]);
    let shadowed = || support::get("/shadowed");
    assert_eq!(statuses(&app, [shadowed(), shadowed()]).await, [200, 200]);
    assert_eq!(header(&send(&app, shadowed()).await, "ratelimit"), None);
    let expected = [
        "noted 192.0.2.1 /noted false Some(60s)",
        "noted 192.0.2.1 /noted false Some(60s)",
        "shadowed 192.0.2.1 /shadowed true Some(60s)",
        "shadowed 192.0.2.1 /shadowed true Some(60s)",
    ];
    assert_eq!(*BLOCKED.lock().unwrap(), expected);
    // Not even for want of a store or a subject.
    let down = local(routes.clone(), &Limiter::new(FailingBackend));
    assert_eq!(statuses(&down, [noted(), shadowed()]).await, [503, 200]);
    let nobody = routes.layer(limiter().0.layer());
    assert_eq!(statuses(&nobody, [noted(), shadowed()]).await, [500, 200]);
}

async fn respond(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap()
}

#[rate_limit(1, per = minute, refund_if = failure)]
async fn charged_for_success(Path(status): Path<u16>) -> StatusCode {
    respond(status).await
}

#[rate_limit(1, per = minute, refund_if = success)]
async fn charged_for_failure(Path(status): Path<u16>) -> StatusCode {
    respond(status).await
}

fn is_server_error(response: &Response) -> bool {
    response.status().is_server_error()
}

#[rate_limit(1, per = minute, refund_if = self::is_server_error)]
async fn not_for_ours(Path(status): Path<u16>) -> StatusCode {
    respond(status).await
}

#[tokio::test]
async fn what_a_response_says_is_given_back() {
    let routes = Router::new()
        .route("/s/{status}", get(charged_for_success))
        .route("/f/{status}", get(charged_for_failure))
        .route("/o/{status}", get(not_for_ours));
    let app = app(routes).await;
    let requests = ["/s/404", "/s/500", "/s/200", "/s/404"].map(support::get);
    assert_eq!(statuses(&app, requests).await, [404, 500, 200, 429]);
    let requests = ["/f/200", "/f/302", "/f/401", "/f/200"].map(support::get);
    assert_eq!(statuses(&app, requests).await, [200, 302, 401, 429]);
    let requests = ["/o/500", "/o/503", "/o/404", "/o/200"].map(support::get);
    assert_eq!(statuses(&app, requests).await, [500, 503, 404, 429]);
}

#[derive(Clone)]
struct UserId(u32);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn tenant(parts: &Parts) -> Option<String> {
    let host = parts.headers.get("host")?.to_str().ok()?;
    host.split_once('.').map(|(tenant, _)| tenant.to_owned())
}

#[rate_limit(1, per = minute, key = cookie("sid"))]
async fn by_cookie() {}

#[rate_limit(1, per = minute, key = path_param("id"))]
async fn by_path_param() {}

#[rate_limit(1, per = minute, key = query("q"))]
async fn by_query() {}

#[rate_limit(1, per = minute, key = extension(UserId))]
async fn by_extension() {}

#[rate_limit(1, per = minute, key = self::tenant)]
async fn by_function() {}

#[rate_limit(1, per = minute, key = (self::tenant, path_param("id"), ip))]
async fn by_all() {}

#[tokio::test]
async fn keys_of_every_kind_count_apart() {
    let routes = Router::new()
        .route("/cookie", get(by_cookie))
        .route("/param/{id}", get(by_path_param))
        .route("/query", get(by_query))
        .route("/function", get(by_function))
        .route("/all/{id}", get(by_all));
    let app = app(routes).await;
    let cookie = |value| get_with("/cookie", "cookie", value);
    let requests = [cookie("sid=a"), cookie("sid=b"), cookie("x=1; sid=a"), cookie("x=1")];
    assert_eq!(statuses(&app, requests).await, [200, 200, 429, 400]);
    let requests = ["/param/1", "/param/2", "/param/1"].map(support::get);
    assert_eq!(statuses(&app, requests).await, [200, 200, 429]);
    let requests = ["/query?q=a", "/query?q=b&q=b", "/query?x=1&q=a", "/query"].map(support::get);
    assert_eq!(statuses(&app, requests).await, [200, 200, 429, 400]);
    let host = |path, value| get_with(path, "host", value);
    let requests = ["a.example", "b.example", "a.example", "example"];
    let requests = requests.map(|value| host("/function", value));
    assert_eq!(statuses(&app, requests).await, [200, 200, 429, 400]);
    let requests = [
        ("/all/1", "a.example"),
        ("/all/2", "a.example"),
        ("/all/1", "b.example"),
        ("/all/1", "a.example"),
    ];
    let requests = requests.map(|(path, value)| host(path, value));
    assert_eq!(statuses(&app, requests).await, [200, 200, 200, 429]);
}

#[tokio::test]
async fn an_extension_is_the_servers_to_set() {
    let (limiter, _clock) = limiter();
    let routes = Router::new().route("/", get(by_extension));
    let for_user = |id| local(routes.clone().layer(axum::Extension(UserId(id))), &limiter);
    let request = || [support::get("/")];
    assert_eq!(statuses(&for_user(1), request()).await, [200]);
    assert_eq!(statuses(&for_user(2), request()).await, [200]);
    assert_eq!(statuses(&for_user(1), request()).await, [429]);
    assert_eq!(statuses(&local(routes, &limiter), request()).await, [500]);
}

/// An `on_error` that says what `skip_on_error` says.
#[rate_limit(1, per = minute, on_error = open)]
async fn open() {}

#[rate_limit(1, per = minute, on_error = closed)]
async fn closed() {}

#[tokio::test]
async fn on_error_is_the_long_form() {
    let routes = Router::new().route("/open", get(open)).route("/closed", get(closed));
    let app = local(routes, &Limiter::new(FailingBackend));
    let requests = ["/open", "/closed"].map(support::get);
    assert_eq!(statuses(&app, requests).await, [200, 503]);
}
