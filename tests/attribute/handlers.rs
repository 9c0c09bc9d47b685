//! Every kind of handler that axum takes can be annotated, and still does what it did.

#![allow(clippy::too_many_arguments, reason = "axum takes sixteen")]

use std::fmt::Display;

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use axum::{Json, Router, debug_handler};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use support::{header, limiter, local, send};
use tollgate::rate_limit;

#[derive(Clone)]
struct App {
    greeting: &'static str,
}

#[derive(Clone, FromRef)]
struct Nested {
    app: App,
}

#[derive(Debug, Deserialize, Serialize)]
struct Item {
    id: u32,
}

#[derive(Debug)]
struct AppError(String);

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        (StatusCode::BAD_GATEWAY, self.0).into_response()
    }
}

impl From<std::num::ParseIntError> for AppError {
    fn from(error: std::num::ParseIntError) -> Self {
        Self(error.to_string())
    }
}

/// Sends the same request three times to a handler that admits two: twice it answers, the
/// third time it is refused.
async fn admits_two(handler: MethodRouter<Nested>, expected: &str) {
    let (limiter, _clock) = limiter();
    let state = Nested { app: App { greeting: "hello" } };
    let app = local(Router::new().route("/{id}", handler).with_state(state), &limiter);
    let request = || support::post("/7?id=8", "application/json", r#"{"id":9}"#);
    for left in ["1", "0"] {
        let response = send(&app, request()).await;
        let field = header(&response, "ratelimit").unwrap().to_owned();
        assert!(field.contains(&format!(";r={left};")), "{field}");
        assert_eq!(support::text(response).await, expected);
    }
    assert_eq!(send(&app, request()).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

macro_rules! handlers {
    ($($name:ident: $handler:path => $expected:expr,)*) => {
        mod admitted_twice_and_then_refused {
            use super::{Item, admits_two, any};
            $(
                #[tokio::test]
                async fn $name() {
                    admits_two(any($handler), $expected).await;
                }
            )*
        }
    };
}

handlers! {
    no_arguments: super::nothing => "",
    state: super::with_state => "hello",
    substate: super::with_substate => "hello",
    path: super::with_path => "7",
    query: super::with_query => "8",
    json: super::with_json => r#"{"id":9}"#,
    string: super::with_string => r#"{"id":9}"#,
    bytes: super::with_bytes => "8",
    request: super::with_request => "POST",
    everything: super::with_everything => "hello 7 8 9",
    fifteen_extractors: super::with_fifteen => "hello",
    sixteen_extractors: super::with_sixteen => r#"hello {"id":9}"#,
    sixteen_with_debug_handler_below: super::with_sixteen_debugged => r#"hello {"id":9}"#,
    impl_into_response: super::opaque => "created",
    result_ok: super::result => "7",
    result_question_mark: super::question_mark => "invalid digit found in string",
    result_of_impl: super::result_of_impl => "7",
    generic: super::generic::<Item> => "Item { id: 9 }",
    generic_where: super::generic_where::<u32, i64> => "7 8",
    mutable_pattern: super::mutable => "7!",
    ignored_pattern: super::ignored => "ignored",
    cfg_argument: super::with_cfg_argument => "7",
    cfg_body: super::with_cfg_body => "hello 8",
    debug_handler_below_another: super::merged_debugged => "hello 7 8",
    debug_handler_above_with_body: super::debugged_above_with_body => "hello 7 8",
    debug_handler_above: super::debugged_above => "7 hello",
    debug_handler_below: super::debugged_below => "7 hello",
    debug_handler_below_without_arguments: super::debugged_below_nothing => "nothing",
    instrument_above: super::instrumented_above => "7",
    instrument_below: super::instrumented_below => "7",
    own_names: super::own_names => "guard output limit",
    shadowing_use: super::shadowing_use => "ok",
    early_return: super::early_return => "early",
    awaiting: super::awaiting => "awaited",
    tuple_response: super::tuple_response => "tuple",
    unicode_name: super::grüße => "grüße",
    raw_name: super::r#type => "raw",
    moved_string: super::moved => "moved",
}

#[rate_limit(2, per = 60)]
async fn nothing() {}

#[rate_limit(2, per = 60)]
async fn with_state(State(nested): State<Nested>) -> &'static str {
    nested.app.greeting
}

#[rate_limit(2, per = 60)]
async fn with_substate(State(App { greeting }): State<App>) -> String {
    greeting.to_owned()
}

#[rate_limit(2, per = 60)]
async fn with_path(Path(id): Path<u32>) -> String {
    id.to_string()
}

#[rate_limit(2, per = 60)]
async fn with_query(Query(Item { id }): Query<Item>) -> String {
    id.to_string()
}

#[rate_limit(2, per = 60)]
async fn with_json(Json(item): Json<Item>) -> Json<Item> {
    Json(item)
}

#[rate_limit(2, per = 60)]
async fn with_string(body: String) -> String {
    body
}

#[rate_limit(2, per = 60)]
async fn with_bytes(body: Bytes) -> String {
    body.len().to_string()
}

#[rate_limit(2, per = 60)]
async fn with_request(request: Request) -> String {
    request.method().to_string()
}

#[rate_limit(2, per = 60)]
async fn with_everything(
    State(app): State<App>,
    Path(id): Path<u32>,
    Query(query): Query<Item>,
    Json(body): Json<Item>,
) -> String {
    format!("{} {id} {} {}", app.greeting, query.id, body.id)
}

/// An extractor that always succeeds.
struct Nil;

impl<S: Sync> FromRequestParts<S> for Nil {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self)
    }
}

#[rate_limit(2, per = 60)]
#[rustfmt::skip]
async fn with_fifteen(
    _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil,
    _: Nil, _: Nil, _: Nil, State(app): State<App>,
) -> &'static str {
    app.greeting
}

#[rate_limit(2, per = 60)]
#[rustfmt::skip]
async fn with_sixteen(
    State(app): State<App>, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil,
    _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, body: String,
) -> String {
    format!("{} {body}", app.greeting)
}

#[rate_limit(2, per = 60)]
#[debug_handler(state = Nested)]
#[rustfmt::skip]
async fn with_sixteen_debugged(
    State(nested): State<Nested>, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil,
    _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, _: Nil, body: String,
) -> String {
    format!("{} {body}", nested.app.greeting)
}

#[rate_limit(2, per = 60)]
async fn opaque() -> impl IntoResponse {
    (StatusCode::CREATED, "created")
}

#[rate_limit(2, per = 60)]
async fn result(Path(id): Path<u32>) -> Result<String, AppError> {
    Ok(id.to_string())
}

#[rate_limit(2, per = 60)]
async fn question_mark() -> Result<String, AppError> {
    let number: u32 = "seven".parse()?;
    Ok(number.to_string())
}

#[rate_limit(2, per = 60)]
async fn result_of_impl(Path(id): Path<u32>) -> Result<impl IntoResponse, AppError> {
    Ok(id.to_string())
}

#[rate_limit(2, per = 60)]
async fn generic<T: DeserializeOwned + std::fmt::Debug + Send>(Json(value): Json<T>) -> String {
    format!("{value:?}")
}

#[rate_limit(2, per = 60)]
async fn generic_where<T, U>(Path(id): Path<T>, Query(query): Query<Id<U>>) -> impl IntoResponse
where
    T: for<'de> Deserialize<'de> + Display + Send,
    U: for<'de> Deserialize<'de> + Display + Send,
{
    format!("{id} {}", query.id)
}

#[derive(Deserialize)]
struct Id<T> {
    id: T,
}

#[rate_limit(2, per = 60)]
async fn mutable(Path(mut id): Path<String>) -> String {
    id.push('!');
    id
}

#[rate_limit(2, per = 60)]
async fn ignored(_: Path<u32>, _method: Method) -> &'static str {
    "ignored"
}

#[rate_limit(2, per = 60)]
async fn with_cfg_argument(
    #[cfg(not(any(unix, windows)))] _never: axum::Extension<u8>,
    #[cfg(any(unix, windows))] Path(id): Path<u32>,
    #[cfg(not(any(unix, windows)))] Path(id): Path<u32>,
) -> String {
    id.to_string()
}

#[debug_handler(state = Nested)]
#[rate_limit(2, per = 60)]
async fn debugged_above(Path(id): Path<u32>, State(app): State<App>) -> String {
    format!("{id} {}", app.greeting)
}

/// The state's type is inferred from `State<_>`, as without the limit.
#[rate_limit(2, per = 60)]
#[debug_handler]
async fn debugged_below(State(nested): State<Nested>, Path(id): Path<u32>) -> String {
    format!("{id} {}", nested.app.greeting)
}

#[rate_limit(2, per = 60)]
#[debug_handler]
async fn debugged_below_nothing() -> &'static str {
    "nothing"
}

#[tracing::instrument]
#[rate_limit(2, per = 60)]
async fn instrumented_above(Path(id): Path<u32>) -> String {
    id.to_string()
}

#[rate_limit(2, per = 60)]
#[tracing::instrument(level = "debug", skip(headers))]
async fn instrumented_below(Path(id): Path<u32>, headers: HeaderMap) -> String {
    let _ = headers;
    id.to_string()
}

/// The user's names are the user's own, whatever the expansion calls its variables.
#[rate_limit(2, per = 60)]
async fn own_names(uri: Uri) -> String {
    let _ = uri;
    let guard = "guard";
    let output = "output";
    let limit = "limit";
    format!("{guard} {output} {limit}")
}

/// A `use` inside the body does not reach the return type.
#[rate_limit(2, per = 60)]
async fn shadowing_use() -> Result<&'static str, AppError> {
    #[allow(unused_imports, dead_code)]
    enum Other {
        AppError,
        Result,
    }
    #[allow(unused_imports)]
    use Other::*;
    Ok("ok")
}

#[rate_limit(2, per = 60)]
async fn early_return(Path(id): Path<u32>) -> &'static str {
    if id == 7 {
        return "early";
    }
    "late"
}

#[rate_limit(2, per = 60)]
async fn awaiting() -> String {
    tokio::task::yield_now().await;
    "awaited".to_owned()
}

#[rate_limit(2, per = 60)]
async fn tuple_response() -> (StatusCode, [(&'static str, &'static str); 1], &'static str) {
    (StatusCode::ACCEPTED, [("x-extra", "1")], "tuple")
}

#[rate_limit(2, per = 60)]
async fn grüße() -> &'static str {
    "grüße"
}

#[rate_limit(2, per = 60)]
async fn r#type() -> &'static str {
    "raw"
}

#[rate_limit(2, per = 60)]
async fn moved(Path(_): Path<u32>, text: String) -> String {
    std::thread::spawn(move || drop(text)).join().unwrap();
    "moved".to_owned()
}

/// A body that never ends is a handler, too; it only has to compile.
#[rate_limit(2, per = 60)]
async fn diverging() -> StatusCode {
    loop {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_diverging_handler_compiles() {
    let _: MethodRouter = any(diverging);
}

/// A module that holds a handler of its own name, and visibilities of all kinds.
mod create {
    pub(super) mod inner {
        use tollgate::rate_limit;

        #[rate_limit(2, per = 60)]
        pub(in super::super) async fn create() -> &'static str {
            "inner"
        }
    }

    #[tollgate::rate_limit(2, per = 60)]
    pub(super) async fn create() -> &'static str {
        "outer"
    }
}

/// Two functions of one name in different modules do not share a budget.
#[tokio::test]
async fn identity_is_the_full_path() {
    let (limiter, _clock) = limiter();
    let routes = Router::new()
        .route("/outer", any(create::create))
        .route("/inner", any(create::inner::create));
    let app = local(routes, &limiter);
    for path in ["/outer", "/inner"] {
        for expected in [StatusCode::OK, StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
            assert_eq!(send(&app, support::get(path)).await.status(), expected);
        }
    }
}

/// The header gives the function's name, percent-encoded where it is not ASCII.
#[tokio::test]
async fn the_header_shows_the_functions_own_name() {
    let (limiter, _clock) = limiter();
    let routes = Router::new()
        .route("/outer", any(create::create))
        .route("/raw", any(r#type))
        .route("/unicode", any(grüße));
    let app = local(routes, &limiter);
    for (path, name) in [("/outer", "create"), ("/raw", "type"), ("/unicode", "gr%C3%BC%C3%9Fe")] {
        let response = send(&app, support::get(path)).await;
        let expected = format!("\"{name}\";q=2;w=60");
        assert_eq!(header(&response, "ratelimit-policy"), Some(&*expected));
    }
}

const LIMIT: u32 = 2;
const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);
const SECONDS: u32 = 30;

#[rate_limit(LIMIT, per = MINUTE)]
async fn from_constants() {}

#[rate_limit(self::LIMIT / 2 + 1, per = 2 * SECONDS)]
async fn from_expressions() {}

#[rate_limit(2, per = 6 * 10)]
async fn from_bare_arithmetic() {}

#[rate_limit(2, per = "1m")]
async fn from_text() {}

#[rate_limit(2, per = minute)]
async fn from_a_word() {}

#[tokio::test]
async fn limits_and_periods_can_be_constant_expressions() {
    let (limiter, _clock) = limiter();
    let routes = Router::new()
        .route("/0", any(from_constants))
        .route("/1", any(from_expressions))
        .route("/2", any(from_bare_arithmetic))
        .route("/3", any(from_text))
        .route("/4", any(from_a_word));
    let app = local(routes, &limiter);
    for path in ["/0", "/1", "/2", "/3", "/4"] {
        let response = send(&app, support::get(path)).await;
        let policy = header(&response, "ratelimit-policy").unwrap();
        assert!(policy.ends_with(";q=2;w=60"), "{path}: {policy}");
    }
}

/// Is extracted from every request, and tells when it is dropped.
struct Told(&'static str);

static DROPPED: std::sync::Mutex<Vec<&str>> = std::sync::Mutex::new(Vec::new());

impl<S: Sync> FromRequestParts<S> for Told {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self("argument"))
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        DROPPED.lock().unwrap().push(self.0);
    }
}

#[rate_limit(2, per = 60)]
async fn unused_arguments(_: Told, _kept: Told) -> &'static str {
    tokio::task::yield_now().await;
    let _local = Told("local");
    "kept"
}

#[tokio::test]
async fn arguments_that_are_not_used_live_as_long_as_the_body() {
    let (limiter, _clock) = limiter();
    let app = local(Router::new().route("/", any(unused_arguments)), &limiter);
    let answer = send(&app, support::post("/", "text/plain", "")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(*DROPPED.lock().unwrap(), ["local", "argument", "argument"]);
}

/// The path of the function in which it is written, as profilers and spans show it.
macro_rules! path {
    () => {{
        fn here() {}
        std::any::type_name_of_val(&here).trim_end_matches("::here").to_owned()
    }};
}

#[rate_limit(2, per = 60)]
async fn shown(Path(id): Path<u32>) -> String {
    format!("{} {id}", path!())
}

/// Has an argument and a method of its own name.
#[rate_limit(2, per = 60)]
async fn id(Path(id): Path<u32>) -> String {
    let item = Item { id };
    format!("{} {}", path!(), item.id)
}

#[rate_limit(2, per = 60)]
#[debug_handler]
async fn shown_debugged(Path(id): Path<u32>) -> String {
    format!("{} {id}", path!())
}

#[tokio::test]
async fn a_handler_is_seen_under_its_own_name() {
    let (limiter, _clock) = limiter();
    let routes = Router::new()
        .route("/0/{id}", any(shown))
        .route("/1/{id}", any(id))
        .route("/2/{id}", any(shown_debugged));
    let app = local(routes, &limiter);
    for (path, name) in [("/0/7", "shown"), ("/1/7", "id"), ("/2/7", "shown_debugged")] {
        let text = support::text(send(&app, support::get(path)).await).await;
        let expected = format!("attribute::handlers::{name}::{name}::{{{{closure}}}} 7");
        assert_eq!(text, expected);
    }
}

/// The name means the function with the limit, as everywhere else.
#[rate_limit(2, per = 60)]
async fn names_itself() -> &'static str {
    std::any::type_name_of_val(&names_itself)
}

#[tokio::test]
async fn a_body_that_names_its_function_means_the_limited_one() {
    let (limiter, _clock) = limiter();
    let app = local(Router::new().route("/", any(names_itself)), &limiter);
    let response = send(&app, support::get("/")).await;
    assert_eq!(support::text(response).await, "attribute::handlers::names_itself");
}

/// The last argument, of two that exclude each other, takes the body.
#[rate_limit(2, per = 60)]
async fn with_cfg_body(
    State(app): State<App>,
    #[allow(unused_variables)]
    #[cfg(any(unix, windows))]
    method: Method,
    #[cfg(any(unix, windows))] body: String,
    #[cfg(not(any(unix, windows)))] body: Bytes,
) -> String {
    format!("{} {}", app.greeting, body.len())
}

/// Any other attribute below sees the limited handler, and so does `#[debug_handler]`.
#[rate_limit(2, per = 60)]
#[debug_handler]
#[rustfmt::skip]
async fn merged_debugged(State(nested): State<Nested>, Path(id): Path<u32>, body: String) -> String {
    format!("{} {id} {}", nested.app.greeting, body.len())
}

#[debug_handler(state = Nested)]
#[rate_limit(2, per = 60)]
async fn debugged_above_with_body(
    State(nested): State<Nested>,
    Path(id): Path<u32>,
    body: String,
) -> String {
    format!("{} {id} {}", nested.app.greeting, body.len())
}

#[rate_limit(2, per = 60)]
#[tracing::instrument(fields(twice = id * 2), skip(_body), ret)]
async fn instrumented_by_name(Path(id): Path<u32>, _body: String) -> String {
    tracing::info!("inside");
    id.to_string()
}

#[tokio::test]
async fn a_span_below_is_that_of_the_function_as_it_was_written() {
    let (log, _guard) = support::log::Log::of_this_thread(tracing::Level::INFO);
    let (limiter, _clock) = limiter();
    let app = local(Router::new().route("/{id}", any(instrumented_by_name)), &limiter);
    assert_eq!(send(&app, support::get("/7")).await.status(), StatusCode::OK);
    let text = log.text();
    assert!(text.contains("instrumented_by_name{id=7 twice=14}: "), "{text}");
    assert!(text.contains("return=\"7\""), "{text}");
}
