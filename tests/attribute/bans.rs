//! Subjects that are refused again and again are shut out, as the annotation says.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use support::{header, limiter, local, send};
use tollgate::{Limiter, RateLimited, rate_limit, testing};

const AFTER: u32 = 3;
const LENGTH: Duration = Duration::from_secs(600);

#[rate_limit(1, per = minute, ban(after = 3, for = "10m", grow = 2, most = "15m"))]
async fn by_literals() {}

#[rate_limit(1, per = minute, ban(after = AFTER, for = LENGTH, grow = 2, most = self::LENGTH))]
async fn by_constants() {}

/// Both quotas refuse, and that is one refusal.
#[rate_limit(1, per = minute, ban(after = self::AFTER, for = 600))]
#[rate_limit(1, per = "30s")]
async fn stacked() {}

/// The length that a caller is told at each of the first refusals.
async fn told(app: &Router, path: &str) -> Vec<u64> {
    assert_eq!(send(app, support::get(path)).await.status(), 200, "{path}");
    let mut told = Vec::new();
    for _ in 0..4 {
        let refused = send(app, support::get(path)).await;
        told.push(header(&refused, "retry-after").unwrap().parse().unwrap());
    }
    told
}

#[tokio::test]
async fn the_refusal_of_that_number_begins_a_ban() {
    let (limiter, clock) = limiter();
    let routes = Router::new()
        .route("/literals", get(by_literals))
        .route("/constants", get(by_constants))
        .route("/stacked", get(stacked));
    let app = local(routes, &limiter);
    for path in ["/literals", "/constants", "/stacked"] {
        assert_eq!(told(&app, path).await, [60, 60, 600, 600], "{path}");
    }
    clock.advance(LENGTH);
    for (path, second) in [("/literals", 900), ("/constants", 600), ("/stacked", 600)] {
        assert_eq!(told(&app, path).await, [60, 60, second, second], "{path}");
    }
}

#[rate_limit(1, per = minute, key = args(user), ban(after = 2, for = "1h"))]
async fn of_a_user(user: &str) -> Result<(), RateLimited> {
    let _ = user;
    Ok(())
}

#[rate_limit(1, per = minute, ban(after = 2, for = hour))]
fn of_all() -> Result<(), RateLimited> {
    Ok(())
}

#[tokio::test]
async fn functions_ban_alike() {
    let seconds =
        |result: Result<(), RateLimited>| result.unwrap_err().retry_after().unwrap().as_secs();
    testing::scope(limiter().0, async {
        of_a_user("a").await.unwrap();
        of_all().unwrap();
        for expected in [60, 3_600, 3_600] {
            assert_eq!(seconds(of_a_user("a").await), expected);
            assert_eq!(seconds(of_all()), expected);
        }
        of_a_user("b").await.unwrap();
    })
    .await;
}

#[derive(Debug)]
enum LoginError {
    Limited(Option<Duration>),
    Wrong,
}

impl From<RateLimited> for LoginError {
    fn from(limited: RateLimited) -> Self {
        Self::Limited(limited.retry_after())
    }
}

#[rate_limit(1, per = minute, key = args(), refund_if = success, ban(after = 2, for = "1h"))]
async fn login(succeed: bool) -> Result<(), LoginError> {
    if succeed { Ok(()) } else { Err(LoginError::Wrong) }
}

#[rate_limit(1, per = minute, refund_if = success, ban(after = 2, for = "1h"))]
fn login_now(succeed: bool) -> Result<(), LoginError> {
    if succeed { Ok(()) } else { Err(LoginError::Wrong) }
}

/// `true` gives back what the result says, but it does not forgive.
#[rate_limit(1, per = minute, key = args(), refund_if = Result::is_ok, ban(after = 2, for = "1h"))]
async fn login_refunded(succeed: bool) -> Result<(), LoginError> {
    if succeed { Ok(()) } else { Err(LoginError::Wrong) }
}

#[tokio::test]
async fn a_success_forgives_the_refusals_before_it() {
    let (limiter, clock) = limiter();
    let limiter: &Limiter = &limiter;
    let told = |result| match result {
        Err(LoginError::Limited(retry_after)) => retry_after.unwrap().as_secs(),
        other => panic!("{other:?}"),
    };
    testing::scope(limiter.clone(), async {
        let wrong = |result| assert!(matches!(result, Err(LoginError::Wrong)));
        wrong(login(false).await);
        wrong(login_now(false));
        wrong(login_refunded(false).await);
        clock.advance(Duration::from_secs(30));
        assert_eq!(told(login(false).await), 30);
        assert_eq!(told(login_now(false)), 30);
        assert_eq!(told(login_refunded(false).await), 30);
        clock.advance(Duration::from_secs(30));
        login(true).await.unwrap();
        login_now(true).unwrap();
        login_refunded(true).await.unwrap();
        wrong(login(false).await);
        wrong(login_now(false));
        wrong(login_refunded(false).await);
        assert_eq!(told(login(false).await), 60);
        assert_eq!(told(login_now(false)), 60);
        assert_eq!(told(login_refunded(false).await), 3_600);
    })
    .await;
}
