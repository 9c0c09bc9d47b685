//! Function mode: a limit on whatever can be called, checked before the body runs.

use std::cell::Cell;
use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use support::{FailingBackend, header, limiter, send};
use tollgate::{Limiter, RateLimited, rate_limit, testing};

/// An error of the user's own.
#[derive(Debug)]
enum AppError {
    Limited(RateLimited),
    Parse,
}

impl From<RateLimited> for AppError {
    fn from(limited: RateLimited) -> Self {
        Self::Limited(limited)
    }
}

impl From<std::num::ParseIntError> for AppError {
    fn from(_: std::num::ParseIntError) -> Self {
        Self::Parse
    }
}

#[derive(Clone)]
struct User {
    id: u32,
    region: &'static str,
}

#[rate_limit(2, per = minute, key = args(user.id, user.region))]
async fn by_fields(user: &User) -> Result<u32, AppError> {
    Ok(user.id)
}

#[rate_limit(2, per = minute, key = args())]
async fn one_for_all(text: &str) -> Result<u32, AppError> {
    Ok(text.parse()?)
}

#[rate_limit(2, per = minute)]
fn sync(text: &str) -> Result<&str, AppError> {
    Ok(text.trim())
}

#[rate_limit(2, per = minute, key = args(name.len(), first + 1))]
async fn generic<T>(name: &str, first: u32, rest: &T) -> Result<String, RateLimited>
where
    T: Display + Sync + ?Sized,
{
    Ok(format!("{name}{first}{rest}"))
}

#[rate_limit(2, per = minute, key = args(number))]
async fn not_send(number: u32, shared: Rc<Cell<u32>>) -> Result<(), RateLimited> {
    std::future::ready(()).await;
    shared.set(shared.get() + number);
    Ok(())
}

/// The names that the expansion uses are the user's all the same.
#[rate_limit(2, per = minute, key = args(permit, limits, calls, limited, result))]
async fn own_names(
    permit: u8,
    limits: u8,
    calls: u8,
    limited: u8,
    result: u8,
) -> Result<u8, RateLimited> {
    Ok(permit + limits + calls + limited + result)
}

struct Mailer {
    host: String,
    sent: Vec<String>,
}

impl Mailer {
    #[rate_limit(2, per = minute, key = args(self.host, to))]
    async fn send(&mut self, to: &str) -> Result<usize, AppError> {
        self.sent.push(to.to_owned());
        Ok(self.sent.len())
    }

    /// Returns what it borrows of `self`.
    #[rate_limit(2, per = minute, key = args(self.host), name = "Mailer::last")]
    async fn last(&mut self) -> Result<&mut String, AppError> {
        Ok(self.sent.last_mut().unwrap())
    }

    #[rate_limit(2, per = minute, refund_if = failure, name = "Mailer::last_sync")]
    fn last_sync(&mut self) -> Result<&mut String, AppError> {
        Ok(self.sent.last_mut().unwrap())
    }
}

trait Send1 {
    async fn deliver(&self, to: &str) -> Result<(), RateLimited>;
}

impl Send1 for Mailer {
    #[rate_limit(2, per = minute, key = args(to))]
    async fn deliver(&self, to: &str) -> Result<(), RateLimited> {
        let _ = (self, to);
        Ok(())
    }
}

/// What `#[async_trait]` makes of an async method, as gRPC servers have them.
trait Boxed {
    fn call<'a>(
        &'a self,
        to: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<u32, AppError>> + Send + 'a>>;
}

impl Boxed for User {
    #[rate_limit(2, per = minute, key = args(self.id, to))]
    fn call<'a>(
        &'a self,
        to: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<u32, AppError>> + Send + 'a>> {
        Box::pin(async move {
            let this = self;
            let number: u32 = to.parse()?;
            Ok(this.id + number)
        })
    }
}

/// Refuses the third call.
macro_rules! admits_two {
    ($call:expr, $expected:expr) => {
        testing::scope(limiter().0, async {
            assert_eq!($call.unwrap(), $expected);
            assert_eq!($call.unwrap(), $expected);
            assert!($call.is_err());
        })
        .await
    };
}

#[tokio::test]
async fn every_kind_of_function_can_be_limited() {
    let user = User { id: 7, region: "eu" };
    let shared = Rc::new(Cell::new(0));
    admits_two!(by_fields(&user).await, 7);
    admits_two!(one_for_all("7").await, 7);
    admits_two!(sync(" x "), "x");
    admits_two!(generic("a", 1, "b").await, "a1b");
    admits_two!(not_send(1, Rc::clone(&shared)).await, ());
    assert_eq!(shared.get(), 2);
    admits_two!(own_names(1, 2, 3, 4, 5).await, 15);
    let mut mailer = Mailer { host: "h".to_owned(), sent: vec!["x".to_owned()] };
    admits_two!(mailer.last().await, "x");
    admits_two!(mailer.last_sync(), "x");
    admits_two!(mailer.deliver("a").await, ());
    admits_two!(user.call("1").await, 8);
    testing::scope(limiter().0, async {
        assert_eq!(mailer.send("a").await.unwrap(), 2);
        assert_eq!(mailer.send("a").await.unwrap(), 3);
        assert!(matches!(mailer.send("a").await, Err(AppError::Limited(_))));
        assert_eq!(mailer.send("b").await.unwrap(), 4, "another recipient, another budget");
    })
    .await;
    assert_eq!(mailer.sent.len(), 4, "a refused call does not run");
}

#[tokio::test]
async fn arguments_count_apart() {
    testing::scope(limiter().0, async {
        for id in 0..3 {
            for region in ["eu", "us"] {
                let user = User { id, region };
                assert!(by_fields(&user).await.is_ok());
                assert!(by_fields(&user).await.is_ok());
                assert!(by_fields(&user).await.is_err());
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_users_own_error_passes_through() {
    testing::scope(limiter().0, async {
        assert!(matches!(one_for_all("x").await, Err(AppError::Parse)));
        assert!(matches!(one_for_all("1").await, Ok(1)));
        assert!(matches!(one_for_all("1").await, Err(AppError::Limited(_))));
    })
    .await;
}

#[tokio::test]
async fn the_error_says_which_limit_and_when() {
    testing::scope(limiter().0, async {
        let user = User { id: 1, region: "eu" };
        let _ = (by_fields(&user).await, by_fields(&user).await);
        let Err(AppError::Limited(limited)) = by_fields(&user).await else { panic!("admitted") };
        assert_eq!(limited.policy(), "attribute::functions::by_fields");
        assert_eq!(limited.retry_after(), Some(Duration::from_secs(60)));
        assert_eq!(limited.decision().unwrap().remaining(), 0);
        assert_eq!(
            limited.to_string(),
            "the limit `attribute::functions::by_fields` is reached; retry in 60.0s"
        );
        assert!(limited.source().is_none());
    })
    .await;
}

#[rate_limit(1, per = minute, skip_on_error, key = args())]
async fn open() -> Result<(), RateLimited> {
    Ok(())
}

#[tokio::test]
async fn an_outage_is_an_error_with_its_cause_unless_the_attribute_skips_on_error() {
    testing::scope(Limiter::new(FailingBackend), async {
        let Err(AppError::Limited(limited)) = one_for_all("1").await else { panic!("admitted") };
        assert_eq!(
            limited.to_string(),
            "the limit `attribute::functions::one_for_all` cannot be checked"
        );
        assert_eq!(limited.retry_after(), Some(Duration::from_secs(1)));
        let mut causes = std::iter::successors(limited.source(), |error| (*error).source());
        assert!(causes.any(|cause| cause.to_string().contains("connection refused")));
        assert!(open().await.is_ok());
    })
    .await;
}

/// `FailingBackend` has to be awaited.
#[tokio::test]
async fn a_sync_function_on_a_backend_that_waits_says_so() {
    testing::scope(Limiter::new(FailingBackend), async {
        let Err(AppError::Limited(limited)) = sync("x") else { panic!("admitted") };
        assert!(limited.to_string().contains("make the function async"), "{limited}");
    })
    .await;
}

/// `debug_handler` copies the function below the attribute, and there is one limit all the same.
#[rate_limit(1, per = minute, key = args(id))]
#[axum::debug_handler]
async fn debugged_below(Path(id): Path<u32>) -> Result<String, RateLimited> {
    Ok(id.to_string())
}

#[tokio::test]
async fn a_debugged_handler_is_limited_as_a_function() {
    let (limiter, _clock) = limiter();
    let app = support::local(Router::new().route("/{id}", get(debugged_below)), &limiter);
    for (path, expected) in [("/1", 200), ("/1", 429), ("/2", 200)] {
        assert_eq!(support::status(&app, support::get(path)).await, expected, "{path}");
    }
}

#[rate_limit(10, per = minute, key = args(tenant), cost = args(rows.len()))]
async fn by_rows<T>(tenant: &str, rows: &[T]) -> Result<usize, RateLimited> {
    Ok(tenant.len() + rows.len())
}

#[rate_limit(10, per = minute, cost = args(units))]
fn by_units(units: i128) -> Result<i128, RateLimited> {
    Ok(units)
}

struct Account {
    weight: u64,
}

impl Account {
    #[rate_limit(10, per = minute, key = args(), cost = args(self.weight * factor), refund_if = failure)]
    async fn spend(&mut self, factor: u64) -> Result<(), AppError> {
        self.weight += 1;
        if factor == 2 {
            "x".parse::<u32>()?;
        }
        Ok(())
    }
}

#[rate_limit(10, per = minute, key = args(), cost = args(units), wait = "1m")]
async fn waits(units: u64) -> Result<u64, RateLimited> {
    Ok(units)
}

#[tokio::test]
async fn a_call_costs_what_its_arguments_say() {
    testing::scope(limiter().0, async {
        assert_eq!(by_rows("a", &[1, 2, 3, 4, 5, 6]).await.unwrap(), 7);
        let limited = by_rows("a", &["x"; 5]).await.unwrap_err();
        assert_eq!(limited.retry_after(), Some(Duration::from_secs(60)));
        assert!(by_rows("b", &["x"; 5]).await.is_ok());
        assert!(by_rows("a", &["x"; 4]).await.is_ok());
        // A cost of 0 counts nothing, and passes while nothing is left.
        assert!(by_rows::<u8>("a", &[]).await.is_ok());
        assert!(by_rows("a", &[1]).await.is_err());

        // None of these is a number of units that could be charged, and none passes for less.
        for units in [-1, i128::MIN, 11, 1 << 32, (1 << 64) + 1] {
            let limited = by_units(units).unwrap_err();
            assert_eq!(limited.retry_after(), None, "{units}");
            assert!(limited.to_string().contains("can never admit"), "{units}: {limited}");
            assert_eq!(
                waits(u64::try_from(units).unwrap_or(11)).await.unwrap_err().retry_after(),
                None
            );
        }
        assert!(by_units(10).is_ok());
        assert!(by_units(1).unwrap_err().retry_after().is_some());
        assert!(by_units(0).is_ok());
        assert!(waits(10).await.is_ok());

        // What is given back is what was charged.
        let mut account = Account { weight: 3 };
        for _ in 0..3 {
            account.weight = 3;
            assert!(matches!(account.spend(2).await, Err(AppError::Parse)));
        }
        assert!(account.spend(1).await.is_ok());
        assert!(account.spend(1).await.is_ok());
        assert!(matches!(account.spend(1).await, Err(AppError::Limited(_))));
    })
    .await;
}

#[rate_limit(1, per = minute, key = args(), refund_if = failure)]
async fn charged_for_success(succeed: bool) -> Result<(), AppError> {
    if !succeed {
        "x".parse::<u32>()?;
    }
    Ok(())
}

#[rate_limit(1, per = minute, refund_if = success)]
fn charged_for_failure(succeed: bool) -> Result<(), AppError> {
    if !succeed {
        "x".parse::<u32>()?;
    }
    Ok(())
}

fn is_even(result: &Result<u32, RateLimited>) -> bool {
    matches!(result, Ok(number) if number.is_multiple_of(2))
}

#[rate_limit(1, per = minute, refund_if = self::is_even, key = args())]
async fn charged_for_odd_numbers(number: u32) -> Result<u32, RateLimited> {
    Ok(number)
}

#[tokio::test]
async fn what_a_result_says_is_given_back() {
    let limited = |result: Result<(), AppError>| matches!(result, Err(AppError::Limited(_)));
    testing::scope(limiter().0, async {
        for _ in 0..5 {
            assert!(!limited(charged_for_success(false).await));
        }
        assert!(charged_for_success(true).await.is_ok());
        assert!(limited(charged_for_success(false).await));

        for _ in 0..5 {
            assert!(charged_for_failure(true).is_ok());
        }
        assert!(!limited(charged_for_failure(false)));
        assert!(limited(charged_for_failure(true)));

        for _ in 0..5 {
            assert!(charged_for_odd_numbers(2).await.is_ok());
        }
        assert!(charged_for_odd_numbers(1).await.is_ok());
        assert!(charged_for_odd_numbers(2).await.is_err());
    })
    .await;
}

#[rate_limit(10, per = minute, cost = 4, key = args())]
async fn costly() -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(1, per = minute, shadow, key = args())]
async fn shadowed() -> Result<(), RateLimited> {
    Ok(())
}

#[tokio::test]
async fn cost_and_shadow_hold_for_functions_too() {
    testing::scope(limiter().0, async {
        assert!(costly().await.is_ok() && costly().await.is_ok());
        assert!(costly().await.is_err());
        assert!(shadowed().await.is_ok() && shadowed().await.is_ok());
    })
    .await;
    testing::scope(Limiter::new(FailingBackend), async { assert!(shadowed().await.is_ok()) }).await;
}

/// On differing keys, what the first has charged is given back when the second refuses.
#[rate_limit(3, per = minute, key = args(user))]
#[rate_limit(4, per = minute, key = args())]
async fn two_keys(user: &str) -> Result<(), RateLimited> {
    let _ = user;
    Ok(())
}

#[tokio::test]
async fn differing_keys_charge_nothing_when_one_refuses() {
    let (limiter, _clock) = limiter();
    testing::scope(limiter.clone(), async {
        for user in ["a", "a", "b", "b"] {
            assert!(two_keys(user).await.is_ok());
        }
        for user in ["a", "b", "c", "a", "b", "c"] {
            let refused = two_keys(user).await.unwrap_err();
            assert_eq!(refused.policy(), "attribute::functions::two_keys+args()");
        }
        let first = Limiter::policies()
            .find(|policy| policy.name() == "attribute::functions::two_keys")
            .unwrap();
        for (user, remaining) in [("a", 1), ("b", 1), ("c", 3)] {
            let decision = limiter.peek(first.policy(), user, 1).await.unwrap();
            assert_eq!(decision.remaining(), remaining, "{user}");
        }
    })
    .await;
}

/// A handler that is keyed by what an extractor found is limited as a function; the refusal is
/// a response of its own.
#[rate_limit(1, per = minute, key = args(user))]
async fn keyed_handler(Path(user): Path<String>) -> Result<String, RateLimited> {
    Ok(user)
}

#[tokio::test]
async fn a_handler_can_be_keyed_by_what_it_extracted() {
    let app = Router::new().route("/{user}", get(keyed_handler));
    testing::scope(limiter().0, async {
        for (path, status) in [("/a", 200), ("/b", 200), ("/a", 429)] {
            assert_eq!(send(&app, support::get(path)).await.status(), status);
        }
        let refused = send(&app, support::get("/a")).await;
        assert_eq!(header(&refused, "retry-after"), Some("60"));
        assert_eq!(header(&refused, "ratelimit"), Some(r#""keyed_handler";r=0;t=60"#));
        assert_eq!(header(&refused, "content-type"), Some("application/problem+json"));
    })
    .await;
    testing::scope(Limiter::new(FailingBackend), async {
        assert_eq!(send(&app, support::get("/a")).await.status(), 503);
    })
    .await;
}
