//! Periods of the calendar by configuration, on the dashboard and with stores that have none.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use support::redis::RedisServer;
use tollgate::backend::{Answer, BackendInfo, Operation};
use tollgate::{
    Algorithm, Backend, BackendError, Calendar, Config, Dashboard, Limiter, MemoryBackend,
    Override, Overrides, Policy, Quota, RedisBackend,
};
use tower::ServiceExt as _;

const PLAIN: Policy =
    Policy::new("calendars", Quota::per_hour(10)).algorithm(Algorithm::FixedWindow);
const MONTHLY: Policy = Policy::new("monthly", Quota::calendar(10, Calendar::Month, "Asia/Tokyo"))
    .algorithm(Algorithm::FixedWindow);

/// The override that a file of these lines sets, or what is wrong.
fn overrides(lines: &str) -> Result<Overrides, String> {
    let name = format!("tollgate-calendars-{}-{:x}.toml", std::process::id(), hash(lines));
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, format!("[policies.calendars]\n{lines}\n")).unwrap();
    let config = Config::load_with(&path, []);
    std::fs::remove_file(&path).unwrap();
    let without_path = |error: String| error.replace(path.to_str().unwrap(), "FILE");
    let overrides = config.map_err(|error| without_path(error.to_string()))?.overrides();
    let overrides = overrides.map_err(|error| without_path(error.to_string()))?;
    let limiter = Limiter::builder(MemoryBackend::new()).declare(PLAIN).build();
    limiter.set_overrides(overrides.clone()).map_err(|error| without_path(error.to_string()))?;
    Ok(overrides)
}

fn hash(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn a_file_says_them() {
    let quota = Quota::calendar(5, Calendar::Week, "America/Sao_Paulo");
    for (lines, expected) in [
        (
            "per = { calendar = \"month\", zone = \"Europe/Berlin\" }",
            Override::new().calendar(Calendar::Month, "Europe/Berlin"),
        ),
        ("per = { calendar = \"day\" }", Override::new().calendar(Calendar::Day, "UTC")),
        (
            "quotas = [{ limit = 5, per = { calendar = \"week\", zone = \"America/Sao_Paulo\" } }, \
             { limit = 2, per = \"1m\" }]",
            Override::new().quotas([quota, Quota::per_minute(2)]),
        ),
    ] {
        let found = overrides(lines).unwrap();
        assert_eq!(found.get("calendars").unwrap().to_string(), expected.to_string());
    }
}

#[test]
fn what_is_wrong_in_a_file_is_told() {
    for (lines, expected) in [
        (
            "per = { calendar = \"month\", zone = \"Europe/Berlim\" }",
            "unknown time zone `Europe/Berlim`: did you mean `Europe/Berlin`?",
        ),
        (
            "quotas = [{ limit = 5, per = { calendar = \"week\", zone = \"Utc\" } }]",
            "unknown time zone `Utc`: did you mean `UTC`?",
        ),
        ("per = { calendar = \"moon\" }", "`day`"),
        ("per = { zone = \"UTC\" }", "calendar"),
        ("per = { calendar = \"day\", tz = \"UTC\" }", "tz"),
        (
            "per = { calendar = \"day\" }\nalgorithm = \"gcra\"",
            "it has a period of the calendar, which only `fixed_window` has",
        ),
        (
            "quotas = [{ limit = 5, per = { calendar = \"week\" }, burst = 7 }]",
            "it has a burst, but its algorithm has no bucket",
        ),
    ] {
        let error = overrides(lines).unwrap_err();
        assert!(error.contains(expected), "{lines}: {error}");
    }
}

#[tokio::test]
async fn the_dashboard_shows_and_reads_them() {
    let limiter = Limiter::builder(MemoryBackend::new()).declare(PLAIN).declare(MONTHLY).build();
    let dashboard = Dashboard::new(limiter.clone()).allow_changes(true);
    let router = Router::new().nest("/limits", dashboard.into_router());
    let send = async |request: axum::http::request::Builder, body: String| {
        let response =
            router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = response.status();
        (status, support::text(response).await)
    };
    let (_, page) = send(Request::get("/limits"), String::new()).await;
    assert!(page.contains("<b>10 per month in Asia/Tokyo</b>"), "{page}");
    for (field, written, expected) in [
        ("per", "day", Override::new().calendar(Calendar::Day, "UTC")),
        (
            "per",
            "month in Europe/Berlin",
            Override::new().calendar(Calendar::Month, "Europe/Berlin"),
        ),
        (
            "quotas",
            "5 per week in Asia/Kathmandu, 2 per 1m",
            Override::new().quotas([
                Quota::calendar(5, Calendar::Week, "Asia/Kathmandu"),
                Quota::per_minute(2),
            ]),
        ),
    ] {
        let form = format!("policy=calendars&{field}={}", written.replace(' ', "+"));
        let post = Request::post("/limits").header("sec-fetch-site", "same-origin");
        let (status, text) = send(post, form).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{text}");
        assert_eq!(limiter.overrides().get("calendars"), Some(&expected));
        let (_, page) = send(Request::get("/limits"), String::new()).await;
        assert!(page.contains(&format!("name=\"{field}\" value=\"{written}\"")), "{page}");
    }
    for (written, expected) in [
        ("month+in+Europe/Berlim", "did you mean `Europe/Berlin`?"),
        ("moon", "or a unit of the calendar, such as `month` or `day in Europe/Berlin`"),
    ] {
        let post = Request::post("/limits").header("sec-fetch-site", "same-origin");
        let (_, text) = send(post, format!("policy=calendars&per={written}")).await;
        assert!(text.contains(expected), "{text}");
    }
}

/// A store of a user's that hands on to memory, and may say that it has calendars.
struct Custom {
    memory: MemoryBackend,
    calendars: bool,
}

impl Backend for Custom {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        self.memory.apply(batch).await
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        self.memory.apply_now(operation)
    }

    fn info(&self) -> BackendInfo {
        let info = BackendInfo::new("custom");
        if self.calendars { info.calendars() } else { info }
    }
}

const NONE: &str = "it has a period of the calendar, and the limiter's backend does not support those: use \
                    a period with a length, or another backend";

#[tokio::test]
async fn a_store_without_calendars_counts_by_none() {
    let custom = |calendars| Arc::new(Custom { memory: MemoryBackend::new(), calendars });
    let limiter = Limiter::builder(custom(false)).declare(MONTHLY).build();
    let error = limiter.initialize().await.unwrap_err();
    assert_eq!(error.to_string(), format!("the policy `monthly` cannot be applied: {NONE}"));
    let limiter = Limiter::builder(custom(false)).declare(PLAIN).build();
    limiter.initialize().await.unwrap();
    let calendar = Override::new().calendar(Calendar::Day, "UTC");
    let error = limiter.set_overrides(Overrides::new().with("calendars", calendar)).unwrap_err();
    assert_eq!(error.to_string(), format!("policies.\"calendars\".per: {NONE}"));
    // One that nobody has declared.
    let error = limiter.check(&MONTHLY, "s").await.unwrap_err();
    assert!(format!("{error:?}").contains(NONE), "{error:?}");
    let error = limiter.check_now(&MONTHLY, "s", 1).unwrap().unwrap_err();
    assert!(format!("{error:?}").contains(NONE), "{error:?}");
    let limiter = Limiter::builder(custom(true)).declare(MONTHLY).build();
    limiter.initialize().await.unwrap();
    assert_eq!(limiter.check(&MONTHLY, "s").await.unwrap().remaining(), 9);
}

#[tokio::test]
async fn redis_has_them() {
    let server = RedisServer::start();
    let backend = RedisBackend::builder(&server.url()).deadline(Duration::from_secs(20));
    let limiter =
        Limiter::builder(backend.build().unwrap()).declare(MONTHLY).declare(PLAIN).build();
    limiter.initialize().await.unwrap();
    assert_eq!(limiter.check(&MONTHLY, "s").await.unwrap().remaining(), 9);
    assert_eq!(limiter.check(&PLAIN, "s").await.unwrap().remaining(), 9);
    let calendar = Override::new().calendar(Calendar::Day, "UTC").limit(5);
    limiter.set_overrides(Overrides::new().with("calendars", calendar)).unwrap();
    assert!(limiter.check(&PLAIN, "s").await.unwrap().remaining() < 5);
    // A backend of another crate that asks Redis may say so, too.
    let info = RedisBackend::builder("redis://127.0.0.1:1").build().unwrap().info();
    assert_eq!(info.clone().calendars(), info);
}
