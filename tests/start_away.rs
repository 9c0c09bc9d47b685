//! A program whose limits are all open or local starts while its backend is away, and one with a
//! closed limit does not. No program starts with a backend that waiting does not heal.

#![allow(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::redis::{Passwords, RedisCluster, RedisServer, Sentinels};
use tollgate::backend::{Answer, BackendInfo, Operation};
use tollgate::{
    Backend, BackendError, Config, Limiter, LimiterBuilder, OnError, Override, Overrides, Policy,
    Quota, RateLimited, RedisBackend, Source, rate_limit,
};

#[rate_limit(10, per = minute, name = "open", key = args(who), skip_on_error)]
async fn open(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

#[rate_limit(10, per = minute, name = "local", key = args(who), on_error = local)]
async fn local(who: &str) -> Result<(), RateLimited> {
    Ok(())
}

const CLOSED: Policy =
    Policy::new("closed", Quota::new(1, Duration::from_secs(60))).on_error(OnError::Closed);
/// It does what the limiter says.
const OF_LIMITER: Policy = Policy::new("of the limiter", Quota::new(1, Duration::from_secs(60)));

/// A backend that fails to start so often.
struct Ill {
    failures: AtomicUsize,
    lasting: bool,
}

impl Backend for Ill {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        batch.iter().map(|_| Err(BackendError::not_executed("it is away"))).collect()
    }

    fn info(&self) -> BackendInfo {
        BackendInfo::new("ill")
    }

    async fn initialize(&self) -> Result<(), BackendError> {
        if self.failures.load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        self.failures.fetch_sub(1, Ordering::SeqCst);
        let error = BackendError::not_executed("it is away");
        Err(if self.lasting { error.lasting() } else { error })
    }
}

fn ill(lasting: bool) -> LimiterBuilder {
    Limiter::builder(Ill { failures: AtomicUsize::new(1), lasting }).instances(1)
}

#[tokio::test]
async fn a_limiter_starts_without_its_backend_if_no_limit_is_closed() {
    let shadow = Overrides::new().with("closed", Override::new().enabled(false));
    let opened = Overrides::new().with("closed", Override::new().on_error(OnError::Open));
    let closed = Overrides::new().with("open", Override::new().on_error(OnError::Closed));
    let none = Overrides::new();
    let mut starts = 0;
    for (limiter, overrides, is_started) in [
        (ill(false), &none, true),
        // Not the limiter's mode counts, but those of its limits.
        (ill(false).on_error(OnError::Closed), &none, true),
        (ill(false).declare(CLOSED), &none, false),
        (ill(false).declare(CLOSED).on_error(OnError::Open), &none, false),
        (ill(false).declare(OF_LIMITER), &none, false),
        (ill(false).declare(OF_LIMITER).on_error(OnError::Open), &none, true),
        (ill(false).declare(OF_LIMITER).on_error(OnError::Local), &none, true),
        // The operator's settings count.
        (ill(false).declare(CLOSED), &opened, true),
        (ill(false).declare(CLOSED), &shadow, true),
        (ill(false), &closed, false),
    ] {
        let limiter = limiter.build();
        limiter.set_overrides(overrides.clone()).unwrap();
        match limiter.initialize().await {
            Ok(()) => assert!(is_started, "{starts}"),
            Err(error) => {
                assert!(!is_started && error.is_away(), "{starts}: {error}");
                assert!(error.to_string().contains("not ready: it is away"), "{error}");
            }
        }
        // It has healed.
        limiter.initialize().await.unwrap();
        starts += 1;
    }
    println!("{starts} starts");
    // A failure that lasts is one whatever the limits say.
    for limiter in [ill(true), ill(true).declare(CLOSED), ill(true).on_error(OnError::Open)] {
        let error = limiter.build().initialize().await.unwrap_err();
        assert!(!error.is_away(), "{error}");
        assert!(error.to_string().contains("correct its settings"), "{error}");
    }
}

/// Each way in which a Redis can be away, and each in which it is the wrong one.
#[tokio::test]
async fn redis_that_is_away_is_told_from_one_that_is_wrong() {
    let patient = |url: &str| {
        RedisBackend::builder(url)
            .deadline(Duration::from_secs(20))
            .build()
            .map(|backend| Limiter::builder(backend).instances(1).declare(CLOSED).build())
    };
    let mut gone = RedisServer::start();
    gone.kill();
    let gone = gone.port;
    for url in [
        format!("redis://127.0.0.1:{gone}"),
        format!("redis://127.0.0.1:{gone}?cluster=true"),
        format!("redis://127.0.0.1:{gone},127.0.0.1:{gone}"),
        format!("redis://127.0.0.1:{gone}?sentinel_master=m"),
        format!("rediss://127.0.0.1:{gone}"),
        "redis://nobody.invalid".to_owned(),
        "redis+unix:///nowhere/redis.sock".to_owned(),
    ] {
        let limiter = patient(&url).unwrap();
        let error = limiter.initialize().await.unwrap_err();
        println!("away: {error}");
        assert!(error.is_away(), "{url}: {error}");
        // Without closed limits it starts, and each limit does what it says.
        let backend = RedisBackend::builder(&url).deadline(Duration::from_millis(50)).build();
        let limiter = Limiter::builder(backend.unwrap()).instances(1).build();
        limiter.initialize().await.unwrap();
        assert_eq!(limiter.check(&OF_OPEN, "s").await.unwrap().source(), Source::Open);
        limiter
            .scope(async {
                open("a").await.unwrap();
                local("a").await.unwrap();
            })
            .await;
    }
    let server = RedisServer::start_with(&["--requirepass", "pw-right"]);
    let no_hello = RedisServer::start_with(&["--rename-command", "HELLO", ""]);
    let no_script = RedisServer::start_with(&["--rename-command", "SCRIPT", ""]);
    let weak = RedisServer::start();
    let mut acl = redis::cmd("ACL");
    acl.arg("SETUSER").arg("weak").arg(&["on", ">pw", "~*", "+hello", "+ping"]);
    acl.exec(&mut weak.connection()).unwrap();
    let cluster = RedisCluster::start();
    let passwords = Passwords { servers: "", sentinels: "pw-right" };
    let sentinels = Sentinels::start_with_passwords(passwords);
    for url in [
        server.url(),
        format!("redis://:pw-wrong@127.0.0.1:{}", server.port),
        format!("redis://:pw-right@127.0.0.1:{}/99", server.port),
        no_hello.url(),
        no_script.url(),
        format!("redis://weak:pw@127.0.0.1:{}", weak.port),
        format!("{}?cluster=false", cluster.nodes[0].url()),
        format!("{}/1", cluster.nodes[0].url()),
        sentinels.url(),
        format!("{}&sentinel_password=pw-right", sentinels.url().replace("mymaster", "other")),
        format!("{}&sentinel_password=pw-wrong", sentinels.url()),
    ] {
        // Though no limit is closed.
        let backend = RedisBackend::builder(&url).build().unwrap();
        let limiter = Limiter::builder(backend).instances(1).build();
        let error = limiter.initialize().await.unwrap_err();
        println!("wrong: {error}");
        assert!(!error.is_away(), "{url}: {error}");
        assert!(!error.to_string().contains("pw-"), "{error}");
    }
}

const OF_OPEN: Policy =
    Policy::new("another", Quota::new(1, Duration::from_secs(60))).on_error(OnError::Open);

/// As the guide writes it, with settings from outside.
#[tokio::test]
async fn a_configured_program_starts_without_its_redis() {
    let variables = [
        ("REDIS_URL", "redis://127.0.0.1:2"),
        ("TOLLGATE_ON_ERROR", "open"),
        ("TOLLGATE_INSTANCES", "2"),
    ];
    let file = std::env::temp_dir().join(format!("tollgate-start-{}.toml", std::process::id()));
    std::fs::write(&file, "").unwrap();
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load_with(&file, variables).unwrap();
    std::fs::remove_file(&file).unwrap();
    let limiter = Limiter::from_config(&config).unwrap();
    limiter.initialize().await.unwrap();
    let limiter = Arc::new(limiter);
    assert_eq!(limiter.check(&OF_LIMITER, "s").await.unwrap().source(), Source::Open);
}
