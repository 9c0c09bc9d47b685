//! What a request or a call came to takes the place of what was charged before.

use std::convert::Infallible;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{get, post};
use support::{limiter, local, send, text};
use tollgate::backend::{Action, Answer, Operation};
use tollgate::{
    Backend, BackendError, Limiter, MemoryBackend, RateLimited, StartError, Usage as Tokens,
    rate_limit, testing,
};

const CLIENT: &str = "192.0.2.1";

/// The units that are left to a subject of the annotated policy of this name in this file.
async fn remaining(limiter: &Limiter, name: &str, subject: &str) -> u32 {
    let name = format!("attribute::settlements::{name}");
    let annotated = Limiter::policies().find(|policy| policy.name() == name).unwrap();
    limiter.peek(annotated.policy(), subject, 1).await.unwrap().remaining()
}

fn length(response: &Response) -> u32 {
    let length = response.headers().get("x-tokens").unwrap();
    length.to_str().unwrap().parse().unwrap()
}

#[rate_limit(10, per = minute, cost = 4, settle = self::length)]
async fn by_response(Path(tokens): Path<String>) -> [(&'static str, String); 1] {
    [("x-tokens", tokens)]
}

#[tokio::test]
async fn a_response_says_what_it_came_to() {
    for (tokens, left) in [(0, 10), (3, 7), (4, 6), (9, 1), (25, 0)] {
        let (limiter, _clock) = limiter();
        let app = local(Router::new().route("/{tokens}", get(by_response)), &limiter);
        send(&app, support::get(&format!("/{tokens}"))).await;
        assert_eq!(remaining(&limiter, "by_response", CLIENT).await, left, "{tokens}");
    }
}

#[rate_limit(10, per = minute, cost = 4)]
async fn counted(tokens: Tokens) {
    tokens.add(7);
}

#[rate_limit(10, per = minute, cost = 4)]
async fn in_a_tuple((_, (tokens, ())): (Result<Tokens, Infallible>, (Tokens, ()))) {
    tokens.add(7);
}

#[rate_limit(10, per = minute, cost = 4)]
async fn in_a_result(tokens: Result<Tokens, Infallible>) {
    let Ok(tokens) = tokens;
    tokens.add(7);
}

#[rate_limit(10, per = minute, cost = 4, key = (args(body.len()), ip))]
async fn after_the_extraction(tokens: Tokens, body: String) {
    tokens.add(5 + body.len() as u32);
}

/// An extractor that contains the other.
struct Counter(Tokens);

impl<S: Sync> FromRequestParts<S> for Counter {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self(Tokens::from_request_parts(parts, state).await?))
    }
}

#[rate_limit(10, per = minute, cost = 4, settle = usage)]
async fn asked_for(Counter(tokens): Counter) {
    tokens.add(7);
}

#[rate_limit(10, per = minute, cost = 4)]
async fn not_asked_for(Counter(tokens): Counter) {
    tokens.add(7);
}

#[rate_limit(10, per = minute, cost = 4)]
async fn never_added(_: Tokens) {}

struct Api;

#[rate_limit]
impl Api {
    #[rate_limit(10, per = minute, cost = 4)]
    async fn counted(tokens: Tokens) {
        tokens.add(7);
    }
}

#[tokio::test]
async fn the_only_limit_settles_at_the_usage_that_its_handler_takes() {
    let routes = Router::new()
        .route("/counted", post(counted))
        .route("/in_a_tuple", post(in_a_tuple))
        .route("/in_a_result", post(in_a_result))
        .route("/after_the_extraction", post(after_the_extraction))
        .route("/asked_for", post(asked_for))
        .route("/not_asked_for", post(not_asked_for))
        .route("/never_added", post(never_added))
        .route("/Api::counted", post(Api::counted));
    let (limiter, _clock) = limiter();
    let app = local(routes, &limiter);
    for (name, subject, left) in [
        ("counted", CLIENT, 3),
        ("in_a_tuple", CLIENT, 3),
        ("in_a_result", CLIENT, 3),
        ("after_the_extraction", "2|192.0.2.1", 3),
        ("asked_for", CLIENT, 3),
        ("not_asked_for", CLIENT, 6),
        ("never_added", CLIENT, 6),
        ("Api::counted", CLIENT, 3),
    ] {
        let response = send(&app, support::post(&format!("/{name}"), "text/plain", "ab")).await;
        assert_eq!(response.status(), 200, "{name}");
        text(response).await;
        assert_eq!(remaining(&limiter, name, subject).await, left, "{name}");
    }
}

#[rate_limit(10, per = minute, cost = 4)]
#[rate_limit(100, per = hour)]
#[rate_limit(1_000, per = day, key = global, settle = usage)]
#[rate_limit(1_000, per = day, key = args(body), settle = usage)]
async fn with_several(tokens: Tokens, body: String) {
    tokens.add(7 + body.len() as u32);
}

#[tokio::test]
async fn of_several_limits_those_settle_that_say_so() {
    let (limiter, _clock) = limiter();
    let app = local(Router::new().route("/", post(with_several)), &limiter);
    text(send(&app, support::post("/", "text/plain", "ab")).await).await;
    assert_eq!(remaining(&limiter, "with_several", CLIENT).await, 6);
    assert_eq!(remaining(&limiter, "with_several+global", "*").await, 991);
    assert_eq!(remaining(&limiter, "with_several+args(body)", "ab").await, 991);
}

fn rows(result: &Result<u32, RateLimited>) -> u32 {
    *result.as_ref().unwrap_or(&0)
}

/// Ends as `end` says: with a number, never, or by a panic.
async fn end(end: Option<u32>) -> u32 {
    match end {
        Some(u32::MAX) => panic!("as it should"),
        Some(rows) => rows,
        None => std::future::pending().await,
    }
}

#[rate_limit(10, per = minute, cost = 4, key = args(), settle = self::rows)]
async fn import(of: Option<u32>) -> Result<u32, RateLimited> {
    Ok(end(of).await)
}

#[rate_limit(10, per = minute, cost = 4, settle = self::rows)]
fn read(rows: u32) -> Result<u32, RateLimited> {
    assert!(rows < u32::MAX, "as it should");
    Ok(rows)
}

#[rate_limit(100, per = minute, key = args(tenant), cost = args(tenant.len()), settle = self::rows)]
#[rate_limit(10, per = minute, key = args(), refund_if = success)]
#[rate_limit(20, per = minute, key = args(1))]
async fn with_others(tenant: &str, rows: u32) -> Result<u32, RateLimited> {
    let _ = tenant;
    Ok(rows)
}

#[tokio::test]
async fn a_result_says_what_the_call_came_to() {
    for (rows, left) in [(0, 10), (3, 7), (4, 6), (9, 1), (25, 0)] {
        let (limiter, _clock) = limiter();
        testing::scope(limiter.clone(), async {
            assert_eq!(import(Some(rows)).await.unwrap(), rows);
            assert_eq!(read(rows).unwrap(), rows);
            assert_eq!(with_others("ab", rows).await.unwrap(), rows);
        })
        .await;
        assert_eq!(remaining(&limiter, "import", "").await, left, "{rows}");
        assert_eq!(remaining(&limiter, "read", "").await, left, "{rows}");
        assert_eq!(remaining(&limiter, "with_others", "ab").await, 100 - rows);
        assert_eq!(remaining(&limiter, "with_others+args()", "").await, 10);
        assert_eq!(remaining(&limiter, "with_others+args(1)", "1").await, 19);
    }
}

#[tokio::test]
async fn a_call_without_a_result_leaves_what_was_charged() {
    let (limiter, _clock) = limiter();
    let scope = testing::scope(limiter.clone(), async {
        tokio::select! {
            biased;
            result = import(None) => panic!("{result:?}"),
            () = std::future::ready(()) => {}
        }
        assert!(tokio::spawn(limiter.scope(import(Some(u32::MAX)))).await.is_err());
        assert!(std::panic::catch_unwind(|| read(u32::MAX)).is_err());
    });
    scope.await;
    assert_eq!(remaining(&limiter, "import", "").await, 2);
    assert_eq!(remaining(&limiter, "read", "").await, 6);
}

/// A store that cannot settle charges of the policy of this name.
struct CannotSettle(MemoryBackend, &'static str);

impl Backend for CannotSettle {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        let mut answers = Vec::new();
        for operation in batch {
            let is_settlement = matches!(operation.action, Action::Settle { .. });
            answers.push(if is_settlement && operation.check.policy.name() == self.1 {
                Ok(Answer::Unsupported)
            } else {
                self.0.apply(std::slice::from_ref(operation)).await.remove(0)
            });
        }
        answers
    }
}

#[tokio::test]
async fn a_store_that_cannot_settle_does_not_start() {
    let unsupported = |of| async move {
        let limiter = Limiter::builder(CannotSettle(MemoryBackend::new(), of)).instances(1).build();
        limiter.initialize().await
    };
    for settles in ["by_response", "counted", "asked_for", "after_the_extraction", "import", "read"]
    {
        let of: &'static str = Box::leak(format!("attribute::settlements::{settles}").into());
        let error = unsupported(of).await.unwrap_err();
        assert!(
            matches!(&error, StartError::Unsupported { name, .. } if name == of),
            "{settles}: {error}"
        );
    }
    unsupported("attribute::settlements::not_asked_for").await.unwrap();
}
