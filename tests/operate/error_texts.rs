//! Errors that `main` returns: Rust prints their `Debug` text, so that text is the message with its
//! causes, and says what to do.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::{Debug, Display};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::FromRequestParts as _;
use axum::routing::get;
use support::{FailingBackend, ROOT};
use tollgate::http::{KeyError, NoClientAddr};
use tollgate::{
    Algorithm, BackendError, Calendar, ClientAddr, Config, HttpOptions, InFlight, Limiter,
    MemoryBackend, OnError, Override, Overrides, Policy, Quota, RateLimited, RedisBackend,
    rate_limit, testing,
};

const POLICY: Policy = Policy::new("error_texts", Quota::per_minute(1));

#[rate_limit(1, per = minute, name = "error_texts::function", key = args(who))]
async fn function(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

/// The name of an error's type, the error, and parts of its text: the mistake and the remedy.
type Row = (&'static str, Box<dyn Error>, &'static [&'static str]);

fn row<E: Error + 'static>(
    (name, error): (&'static str, E),
    parts: &'static [&'static str],
) -> Row {
    (name, Box::new(error), parts)
}

fn error<T: Debug, E>(result: Result<T, E>) -> E {
    result.map_err(Some).map_or_else(|error| error.unwrap(), |value| panic!("{value:?}"))
}

fn refused() -> BackendError {
    let cause = std::io::Error::other(Nested("the disk is full".parse::<u32>().unwrap_err()));
    BackendError::unknown(cause)
}

/// An error with a cause.
#[derive(Debug)]
struct Nested(std::num::ParseIntError);

impl Display for Nested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the counter is unreadable")
    }
}

impl Error for Nested {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

async fn without_address() -> NoClientAddr {
    let (mut parts, ()) = axum::http::Request::new(()).into_parts();
    ClientAddr::from_request_parts(&mut parts, &()).await.unwrap_err()
}

async fn rows() -> Vec<Row> {
    let failing = Limiter::new(FailingBackend);
    let (limiter, _clock) = testing::limiter();
    let redis = Limiter::new(RedisBackend::from_url("redis://127.0.0.1:1").await.unwrap());
    let local = Limiter::builder(FailingBackend).on_error(OnError::Local).build();
    let two = POLICY.and(Quota::per_hour(10));
    let declared = Limiter::builder(MemoryBackend::new()).declare(POLICY).declare(two);
    let overrides = Overrides::new().with("error_text", Override::new());
    let config = |text: &str| {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("tollgate-texts-{}-{number}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        let config = Config::load_with(&path, []);
        fs::remove_file(path).unwrap();
        config
    };
    let of_file = config("[policies.error_texts]\nburst = 3").unwrap().overrides().unwrap();
    vec![
        row(("BackendError", refused()), &["may not have acted", "unreadable", "invalid digit"]),
        row(
            ("BackendError", error(RedisBackend::from_url("localhost:6379").await)),
            &["it begins with `redis://`"],
        ),
        row(
            ("Unavailable", error(failing.check(&POLICY, "s").await)),
            &["no rate limit decision: ", "connection refused"],
        ),
        row(
            ("StartError", error(redis.initialize().await)),
            &[
                "the backend is not ready: cannot connect to 127.0.0.1:1",
                "Connection refused",
                "start it, or correct its settings",
            ],
        ),
        row(("StartError", error(local.initialize().await)), &["instances"]),
        row(
            ("OverridesError", error(declared.build().set_overrides(overrides))),
            &["policies.\"error_text\": ", "did you mean `error_texts`?"],
        ),
        row(
            (
                "OverridesError",
                error(
                    Limiter::builder(MemoryBackend::new())
                        .declare(POLICY)
                        .build()
                        .set_overrides(of_file),
                ),
            ),
            &["tollgate-texts-", ".toml: policies.\"error_texts\".burst: ", "leave `burst` out"],
        ),
        row(
            ("ConfigError", error(config("instnces = 3"))),
            &["tollgate-texts-", ".toml: instnces: ", "did you mean `instances`?"],
        ),
        row(
            ("HttpOptionsError", error(HttpOptions::new().trusted_proxies(["proxy"]))),
            &["`proxy` is no network: write it as"],
        ),
        row(
            ("HttpOptionsError", error(HttpOptions::new().ipv6_prefix(0))),
            &["1 to 128 bits, not 0"],
        ),
        row(
            ("PepperError", error(Limiter::builder(MemoryBackend::new()).pepper("short"))),
            &["at least 16 bytes"],
        ),
        row(("QuotaError", error(Quota::try_new(0, Duration::from_secs(1)))), &["at least 1"]),
        row(
            ("QuotaError", error(Quota::try_calendar(1, Calendar::Day, "Atlantis"))),
            &["the time zone is not known", "`Europe/Berlin`"],
        ),
        row(
            ("BanError", error(tollgate::Ban::try_new(0, Duration::from_secs(1)))),
            &["at least 1"],
        ),
        row(("InFlightError", error(InFlight::try_new(0))), &["at least 1 request"]),
        row(
            ("UnknownWord", error("token_bukket".parse::<Algorithm>())),
            &["`token_bukket` is none of", "did you mean `token_bucket`?"],
        ),
        row(("KeyError", KeyError::NoConnectInfo), &["address"]),
        row(("NoClientAddr", without_address().await), &["address"]),
        row(
            ("RateLimited", error(testing::scope(failing, function("s")).await)),
            &["the limit `error_texts::function` cannot be checked: ", "connection refused"],
        ),
        row(
            (
                "RateLimited",
                error(
                    testing::scope(limiter, async {
                        let _ = function("s").await;
                        function("s").await
                    })
                    .await,
                ),
            ),
            &["is reached", "retry in"],
        ),
    ]
}

#[tokio::test]
async fn the_debug_text_is_the_message_with_its_causes() {
    for (name, error, parts) in rows().await {
        let (shown, debug) = (error.to_string(), format!("{error:?}"));
        assert!(debug.starts_with(&shown), "{name}: {debug}");
        let causes = std::iter::successors(error.source(), |cause| (*cause).source());
        for part in parts.iter().map(|part| part.to_string()).chain(causes.map(|it| it.to_string()))
        {
            assert_eq!(debug.matches(&part).count(), 1, "{name}: {part:?} in {debug}");
        }
        // Neither a type nor a field is named.
        assert!(!debug.contains(" { ") && !debug.contains(name), "{name}: {debug}");
    }
}

/// A public error type that has no row above would escape the test.
#[tokio::test]
async fn every_public_error_has_a_row() {
    let listing = Path::new(ROOT).join("tests/repository/public_api.txt");
    let mut item = "";
    let mut errors = BTreeSet::new();
    let listing = fs::read_to_string(listing).unwrap();
    for line in listing.lines() {
        let (own, words) = (!line.starts_with(' '), line.trim());
        if own {
            let path = words.split(' ').nth(1).unwrap_or_default();
            item = path.rsplit("::").next().unwrap_or_default();
        }
        let of_trait = words.starts_with("impl") && words.contains("Error for ");
        if words == "derive Error" || of_trait {
            errors.insert(item);
        }
    }
    let rows = rows().await;
    let covered: BTreeSet<&str> = rows.iter().map(|(name, ..)| *name).collect();
    assert_eq!(errors, covered);
}

/// The text that a program prints whose `main` has the form that README uses.
#[tokio::test]
async fn a_program_that_returns_the_error_prints_the_message() {
    async fn main() -> Result<(), Box<dyn Error>> {
        let limiter = Limiter::builder(MemoryBackend::new()).declare(POLICY).build();
        limiter.set_overrides(
            Overrides::new().with("error_texts", Override::new().per(Duration::from_micros(9))),
        )?;
        let _: Router = Router::new().route("/", get(async || {})).layer(limiter.layer());
        Ok(())
    }
    let printed = format!("Error: {:?}", main().await.unwrap_err());
    assert_eq!(printed, "Error: policies.\"error_texts\".per: the period must be at least 1 ms");
}
