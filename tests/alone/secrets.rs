//! No secret of a configuration or of a request is written anywhere: a secret is planted, and
//! searched for in all that the program writes, by whichever thread. So this needs the log and the
//! metrics of the whole process.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use support::exporter::Exporter;
use support::log::Log;
use support::redis::RedisServer;
use support::{local, scaled, send, text};
use tollgate::backend::{RedisBackendBuilder, RedisCredentials};
use tollgate::config::ConfigError;
use tollgate::http::HttpOptionsError;
use tollgate::{
    BackendError, Config, Dashboard, HttpOptions, Key, Limiter, Metrics, Policy, Quota,
    RateLimitLayer, RedisBackend,
};
use tracing::Level;

const SECRET: &str = "s3cr3t-7f3a";
/// A secret that is all digits, which a file or a variable without quotes makes a number.
const NUMBER: &str = "7311980042";

/// What operators take for the URL of their store. `S` is the secret.
const URLS: [&str; 15] = [
    "redis://:S@127.0.0.1:1",
    "redis://me:S@127.0.0.1:1/0",
    "redis://me:S@h/x",
    "redis://me:S@h:port",
    "redis://me:S@",
    "redis://:S",
    "redis://me:S@h?deadline=x",
    "redis://me:p@S@h",
    "redis://me:S@h,h2,",
    "rediss://me:S@h#x",
    "redis-cluster://:S@h/3",
    "http://me:S@h",
    "redis:/me:S@h",
    "redis//me:S@h",
    "me:S@h:6379",
];

/// Files with a URL in every place. `U` is the URL.
const FILES: [(&str, &str); 27] = [
    ("toml", "[backend]\nurl = \"U\""),
    ("toml", "[backend]\nurl = U"),
    ("toml", "[backend]\nurl = \"U"),
    ("toml", "[backend]\nurl = 'U"),
    ("toml", "[backend]\nurl = \"U\"\nurl = \"U\""),
    ("toml", "backend = \"U\""),
    ("toml", "backend = [\"U\"]"),
    ("toml", "on_error = \"U\""),
    ("toml", "instances = \"U\""),
    ("toml", "[backend]\ndeadline = \"U\""),
    ("toml", "[backend]\nmax_keys = \"U\""),
    ("toml", "[http]\ntrusted_proxies = [\"U\"]"),
    ("toml", "[http]\nnat64_prefixes = [\"U\"]"),
    ("toml", "[http]\nclient_header = \"U\""),
    ("toml", "[http]\npepper = [\"U\"]"),
    ("toml", "\"U\" = 1"),
    ("toml", "U = 1"),
    ("toml", "[policies.\"U\"]\nlimit = 0"),
    ("toml", "[policies.p]\nper = \"U\""),
    ("json", "{\"backend\": {\"url\": \"U\"}}"),
    ("json", "{\"backend\": \"U\"}"),
    ("json", "\"U\""),
    ("json", "{\"backend\": {\"url\": \"U}"),
    ("yaml", "backend:\n  url: U"),
    ("yaml", "backend: \"U\""),
    ("yaml", "U"),
    ("yaml", "backend:\n  url: \"U"),
];

/// Files with a number where a secret belongs. `N` is the number.
const NUMBERS: [(&str, &str); 8] = [
    ("toml", "[backend]\nurl = N"),
    ("toml", "backend = N"),
    ("toml", "[backend]\nsentinel_password = N"),
    ("toml", "[backend]\nusername = N"),
    ("toml", "[http]\npepper = N"),
    ("toml", "[http]\npepper = [N]"),
    ("json", "{\"http\": {\"pepper\": N}}"),
    ("yaml", "http:\n  pepper: N"),
];

const VARIABLES: [&str; 8] = [
    "REDIS_URL",
    "TOLLGATE_BACKEND",
    "TOLLGATE_BACKEND__URL",
    "TOLLGATE_BACKEND__DEADLINE",
    "TOLLGATE_BACKEND__MAX_KEYS",
    "TOLLGATE_URL",
    "TOLLGATE_ON_ERROR",
    "TOLLGATE_HTTP__TRUSTED_PROXIES",
];

/// What a program that sets all by methods gets wrong. Where the value is no URL of a store, it is
/// taken for a file, a network or a name.
const BUILDERS: [(&str, Builder); 15] = [
    ("builder", |url| RedisBackend::builder(url).build().map(limiter_on)),
    ("cluster", |url| RedisBackend::builder(url).cluster(true).build().map(limiter_on)),
    ("pool_size", |url| RedisBackend::builder(url).pool_size(0).build().map(limiter_on)),
    ("password_file", |url| with(|backend| backend.password_file(url))),
    ("ca_file", |url| with(|backend| backend.ca_file(url))),
    ("client_key_file", |url| with(|backend| backend.client_key_file(url))),
    ("server_name", |url| with(|backend| backend.server_name(url))),
    ("sentinel_server_name", |url| with(|backend| backend.sentinel_server_name(url))),
    ("sentinel_master", |url| with(|backend| backend.sentinel_master(url))),
    ("key_prefix", |url| with(|backend| backend.key_prefix(url))),
    ("username_file", |url| with(|backend| backend.username_file(url).password_file(url))),
    ("ca_certificate", |url| with(|backend| backend.ca_certificate(url))),
    ("sentinel_password", |url| with(|backend| backend.sentinel_password(url))),
    ("sentinel_password_file", |url| with(|backend| backend.sentinel_password_file(url))),
    ("credentials", |url| {
        let (user, password) = ("me".to_owned(), url.to_owned());
        with(|backend| {
            backend.credentials(move || {
                let credentials = RedisCredentials::new(user.clone(), password.clone());
                async move { Ok::<_, std::io::Error>(credentials) }
            })
        })
    }),
];

type Builder = fn(&str) -> Result<Limiter, BackendError>;

/// A backend whose URL is right, with one setting that is wrong.
fn with(
    set: impl FnOnce(RedisBackendBuilder) -> RedisBackendBuilder,
) -> Result<Limiter, BackendError> {
    set(RedisBackend::builder("rediss://127.0.0.1:1")).build().map(limiter_on)
}

fn limiter_on(backend: RedisBackend) -> Limiter {
    let metrics = Metrics::new().every(Duration::ZERO).servers();
    Limiter::builder(backend).metrics(metrics).build()
}

/// What programs pass to the options of HTTP, and what these say about it.
fn options(value: &str) -> Vec<Result<HttpOptions, HttpOptionsError>> {
    let new = HttpOptions::new;
    vec![
        new().trusted_proxies([value]),
        new().nat64_prefixes([value]),
        new().client_header(value),
        new().pepper(&value[..15.min(value.len())]),
        new().pepper(format!("{value}{value}")),
    ]
}

/// All that is written about configurations and by limiters.
#[derive(Default)]
struct Written(Vec<(&'static str, String)>);

impl Written {
    fn shown(&mut self, shown: &dyn std::fmt::Debug) {
        self.0.push(("debug", format!("{shown:?}")));
    }

    fn error(&mut self, error: &(dyn std::error::Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.0.push(("error", format!("{error:?} {error}")));
            next = error.source();
        }
    }

    async fn limiter(&mut self, limiter: &Limiter) {
        let policy = policy("p");
        if let Err(error) = limiter.initialize().await {
            self.error(&error);
        }
        if let Err(error) = limiter.check(&policy, "s").await {
            self.error(&error);
        }
        limiter.record_metrics().await;
        self.shown(&limiter);
        self.shown(&limiter.stats());
        let dashboard = Dashboard::new(limiter.clone()).into_router();
        let router: Router = Router::new().nest("/limits", dashboard);
        self.0.push(("page", text(send(&router, support::get("/limits")).await).await));
    }

    async fn config(&mut self, config: Result<Config, ConfigError>) {
        let config = match config {
            Ok(config) => config.declare(policy("p")),
            Err(error) => return self.error(&error),
        };
        self.shown(&config);
        match Limiter::from_config(&config) {
            Ok(limiter) => self.limiter(&limiter).await,
            Err(error) => self.error(&error),
        }
    }

    /// The texts that have the secret, and the channels by which they are written.
    fn leaking(&self) -> impl Iterator<Item = &(&'static str, String)> {
        let is_leak = |text: &str| [SECRET, NUMBER].iter().any(|secret| text.contains(secret));
        self.0.iter().filter(move |(_, text)| is_leak(text))
    }
}

fn policy(name: &'static str) -> Policy {
    Policy::new(name, Quota::new(2, Duration::from_secs(60)))
}

/// The log at `trace` and the metrics of this process, of all its threads.
fn listen() -> (Log, Exporter) {
    (Log::of_the_program_at(Level::TRACE), Exporter::of_the_program())
}

#[tokio::test]
async fn no_wrong_configuration_repeats_the_password() {
    const NAME: &str = "no_wrong_configuration_repeats_the_password";
    if support::is_left_to_a_process_of_its_own(module_path!(), NAME) {
        return;
    }
    let (log, exporter) = listen();
    let mut count = 0;
    let mut leaks = Vec::new();
    let mut search = |case: &str, written: Written| {
        assert!(!written.0.is_empty(), "{case}");
        leaks.extend(written.leaking().map(|(channel, text)| format!("{case}: {channel}: {text}")));
        count += 1;
    };
    let none = || std::iter::empty::<(String, String)>();
    for (format, file) in NUMBERS {
        let file = file.replace('N', NUMBER);
        let path = temporary(format, &file);
        let mut written = Written::default();
        written.config(Config::load_with(&path, none())).await;
        fs::remove_file(path).unwrap();
        search(&file, written);
    }
    for variable in
        ["REDIS_URL", "TOLLGATE_BACKEND", "TOLLGATE_BACKEND__URL", "TOLLGATE_HTTP__PEPPER"]
    {
        let empty = temporary("toml", "");
        let mut written = Written::default();
        let variables = [(variable.to_owned(), NUMBER.to_owned())];
        written.config(Config::load_with(&empty, variables)).await;
        fs::remove_file(empty).unwrap();
        search(variable, written);
    }
    let urls = scaled(4, URLS.len() as u32) as usize;
    for url in URLS[..urls].iter().map(|url| url.replace('S', SECRET)) {
        for (format, file) in FILES {
            let file = file.replace('U', &url);
            let path = temporary(format, &file);
            let mut written = Written::default();
            written.config(Config::load_with(&path, none())).await;
            fs::remove_file(path).unwrap();
            search(&file, written);
        }
        // The URL in place of the file itself.
        let mut written = Written::default();
        written.config(Config::load_with(&url, none())).await;
        search(&url, written);
        let empty = temporary("toml", "");
        for variable in VARIABLES {
            for value in
                [url.clone(), format!("\"{url}\""), format!("[\"{url}\"]"), format!("\"{url}")]
            {
                let mut written = Written::default();
                written.config(Config::load_with(&empty, [(variable.to_owned(), value)])).await;
                search(&format!("{variable} {url}"), written);
            }
        }
        fs::remove_file(empty).unwrap();
        for (name, build) in BUILDERS {
            let mut written = Written::default();
            match build(&url) {
                Ok(limiter) => written.limiter(&limiter).await,
                Err(error) => written.error(&error),
            }
            search(&format!("{name} {url}"), written);
        }
        for (number, options) in options(&url).into_iter().enumerate() {
            let mut written = Written::default();
            match options {
                Ok(options) => written.shown(&options),
                Err(error) => written.error(&error),
            }
            search(&format!("HttpOptions {number} {url}"), written);
        }
    }
    assert_eq!(leaks, [""; 0]);
    assert!(count >= 200, "{count}");
    println!("{count} wrong configurations");
    let log = log.text();
    let at = log.find(SECRET).map(|at| &log[log[..at].rfind('\n').unwrap_or(0)..at + SECRET.len()]);
    assert_eq!(at, None);
    // By which it is seen that both were listened to.
    let levels =
        ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].map(|level| log.matches(level).count());
    println!("{} series, and lines of each level from trace on: {levels:?}", exporter.count());
    assert!(levels[1] > 0 && exporter.count() > 0);
    assert!(!exporter.text().contains(SECRET), "{}", exporter.text());
}

fn temporary(format: &str, text: &str) -> PathBuf {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let name = format!("tollgate-secrets-{}-{number}.{format}", std::process::id());
    let path: &Path = &std::env::temp_dir().join(name);
    fs::write(path, text).unwrap();
    path.to_path_buf()
}

/// The password of a store that is reached, and a client's credentials.
#[tokio::test]
async fn nothing_in_the_store_in_logs_metrics_or_on_the_page_is_a_secret() {
    const NAME: &str = "nothing_in_the_store_in_logs_metrics_or_on_the_page_is_a_secret";
    if support::is_left_to_a_process_of_its_own(module_path!(), NAME) {
        return;
    }
    let (log, exporter) = listen();
    let server = RedisServer::start();
    let _: () = server.ask(&format!("ACL SETUSER me on >{SECRET} ~* +@all"));
    let url = server.url().replace("redis://", &format!("redis://me:{SECRET}@"));
    let limiter = limiter_on(RedisBackend::from_url(&url).await.unwrap());
    let layers = [Key::header("authorization"), Key::cookie("sid")];
    let mut router = Router::new().route("/", get(|| async {}));
    for (key, name) in layers.into_iter().zip(["h", "c"]) {
        router = router.layer(RateLimitLayer::new(policy(name)).key(key));
    }
    let dashboard = Dashboard::new(limiter.clone()).show_subjects(true).into_router();
    let router = local(router.nest("/limits", dashboard), &limiter);
    let mut written = Written::default();
    for _ in 0..4 {
        let request = Request::get("/")
            .header("authorization", format!("Bearer {SECRET}"))
            .header("cookie", format!("sid={SECRET}"));
        let response = send(&router, request.body(Body::empty()).unwrap()).await;
        written.0.push(("fields", format!("{:?}", response.headers())));
        written.0.push(("body", text(response).await));
    }
    written.limiter(&limiter).await;
    written.0.push(("page", text(send(&router, support::get("/limits")).await).await));
    let keys: Vec<String> = server.ask("KEYS *");
    assert!(keys.len() >= 2, "{keys:?}");
    let mut connection = server.connection();
    for key in keys {
        let value: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
        written.0.push(("value", String::from_utf8_lossy(&value).into_owned()));
        written.0.push(("key", key));
    }
    limiter.close().await;
    let refused = exporter.value("tollgate_decisions_total", &[("outcome", "refused")]);
    assert!(refused.is_some(), "{}", exporter.text());
    written.0.push(("metrics", exporter.text()));
    written.0.push(("log", log.text()));
    let leaks: BTreeSet<_> = written.leaking().map(|(channel, _)| *channel).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
}
