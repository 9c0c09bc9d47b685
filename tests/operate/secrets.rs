//! No secret of a configuration or of a request is written anywhere: a secret is planted, and
//! searched for in all that the program writes.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use support::log::Log;
use support::redis::RedisServer;
use support::{local, send, text};
use tollgate::http::HeaderStyle;
use tollgate::{
    Config, Dashboard, HttpOptions, Key, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer,
    RedisBackend,
};
use tracing::Level;

const SECRET: &str = "s3cr3t-7f3a";

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

/// Returns what is written about one configuration.
async fn written(config: Result<Config, tollgate::config::ConfigError>) -> Vec<String> {
    let policy = Policy::new("p", Quota::new(1, Duration::from_secs(60)));
    let mut written = Vec::new();
    let mut add = |shown: &dyn std::fmt::Debug, text: String| {
        written.push(format!("{shown:?}"));
        written.push(text);
    };
    let config = match config {
        Ok(config) => config.declare(policy.clone()),
        Err(error) => {
            add(&error, error.to_string());
            return written;
        }
    };
    add(&config, String::new());
    let limiter = match Limiter::from_config(&config) {
        Ok(limiter) => limiter,
        Err(error) => {
            add(&error, error.to_string());
            return written;
        }
    };
    if let Err(error) = limiter.initialize().await {
        add(&error, error.to_string());
    }
    if let Err(error) = limiter.check(&policy, "s").await {
        add(&error, error.to_string());
    }
    add(&limiter.stats(), String::new());
    let router: Router =
        Router::new().nest("/limits", Dashboard::new(limiter.clone()).into_router());
    add(&(), text(send(&router, support::get("/limits")).await).await);
    written
}

#[tokio::test]
async fn no_wrong_configuration_repeats_the_password() {
    let (log, _listening) = Log::of_this_thread(Level::TRACE);
    let mut count = 0;
    let mut search = async |case: &str, config| {
        let texts = written(config).await;
        assert!(!texts.is_empty());
        for text in texts {
            assert!(!text.contains(SECRET), "{case}\n{text}");
        }
        count += 1;
    };
    let none = || std::iter::empty::<(String, String)>();
    for url in URLS.map(|url| url.replace('S', SECRET)) {
        for (format, file) in FILES {
            let text = file.replace('U', &url);
            let path = temporary(format, &text);
            let config = Config::load_with(&path, none());
            fs::remove_file(path).unwrap();
            search(&text, config).await;
        }
        let empty = temporary("toml", "");
        for variable in VARIABLES {
            for value in
                [url.clone(), format!("\"{url}\""), format!("[\"{url}\"]"), format!("\"{url}")]
            {
                let config = Config::load_with(&empty, [(variable.to_owned(), value)]);
                search(&format!("{variable} {url}"), config).await;
            }
        }
        fs::remove_file(empty).unwrap();
    }
    assert!(count >= 200, "{count}");
    let text = log.text();
    assert!(!text.contains(SECRET), "{text}");
}

fn temporary(format: &str, text: &str) -> std::path::PathBuf {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let name = format!("tollgate-secrets-{}-{number}.{format}", std::process::id());
    let path: &Path = &std::env::temp_dir().join(name);
    fs::write(path, text).unwrap();
    path.to_path_buf()
}

/// The password of a store that is reached, and a client's credentials.
#[tokio::test]
async fn nothing_in_the_store_in_logs_or_on_the_page_is_a_secret() {
    let (log, _listening) = Log::of_this_thread(Level::TRACE);
    let server = RedisServer::start();
    let _: () = server.ask(&format!("ACL SETUSER me on >{SECRET} ~* +@all"));
    let url = server.url().replace("redis://", &format!("redis://me:{SECRET}@"));
    let backend = RedisBackend::from_url(&url).await.unwrap();
    let limiter = Limiter::new(backend);
    limiter.initialize().await.unwrap();
    let layers = [Key::header("authorization"), Key::cookie("sid")];
    let mut router = Router::new().route("/", get(|| async {}));
    for (key, name) in layers.into_iter().zip(["h", "c"]) {
        let policy = Policy::new(name, Quota::new(2, Duration::from_secs(60)));
        router = router.layer(RateLimitLayer::new(policy).key(key));
    }
    let dashboard = Dashboard::new(limiter.clone()).show_subjects(true).into_router();
    let router = local(router.nest("/limits", dashboard), &limiter);
    for _ in 0..4 {
        let request = Request::get("/")
            .header("authorization", format!("Bearer {SECRET}"))
            .header("cookie", format!("sid={SECRET}"));
        let response = send(&router, request.body(Body::empty()).unwrap()).await;
        let shown = format!("{:?}", response.headers());
        assert!(!shown.contains(SECRET) && !text(response).await.contains(SECRET));
    }
    let page = text(send(&router, support::get("/limits")).await).await;
    let keys: Vec<String> = server.ask("KEYS *");
    assert!(keys.len() >= 2, "{keys:?}");
    let mut all = vec![page, log.text(), format!("{:?}", limiter.stats()), keys.join("\n")];
    for key in keys {
        let value: Vec<u8> = server.ask(&format!("DUMP {key}"));
        all.push(String::from_utf8_lossy(&value).into_owned());
    }
    for text in all {
        assert!(!text.contains(SECRET), "{text}");
    }
    limiter.close().await;
}

/// Returns the subject of a request, as the store has it, with these options.
async fn subject(options: HttpOptions, key: Key) -> String {
    let mut subjects = support::subjects::Subjects::new(key, options);
    let request =
        Request::get("/?q=alice").header("x-api-key", SECRET).body(Body::empty()).unwrap();
    subjects.ask(request).await.1.unwrap()
}

#[tokio::test]
async fn a_pepper_changes_the_hashes_and_is_the_same_for_all_processes() {
    let peppered = |pepper: &str| HttpOptions::new().pepper(pepper).unwrap();
    let (one, other) = (peppered("0123456789abcdef"), peppered("0123456789abcdeg"));
    let key = || Key::header("x-api-key");
    let plain = subject(HttpOptions::new(), key()).await;
    let hashes = [subject(one.clone(), key()).await, subject(other, key()).await];
    assert!(hashes[0] != hashes[1] && !hashes.contains(&plain));
    assert_eq!(subject(one.clone(), key()).await, hashes[0]);
    assert!(format!("{one:?}").contains("pepper: true"), "{one:?}");
    let error = HttpOptions::new().pepper("short").unwrap_err().to_string();
    assert!(error.contains("at least 16 bytes") && !error.contains("short"), "{error}");
    // What is no credential stays as it is, unless all subjects are hashed.
    assert_eq!(subject(one.clone(), Key::query("q")).await, "alice");
    let hidden = subject(one.hash_subjects(true), Key::query("q")).await;
    assert!(hidden.len() == 32 && hidden != "alice", "{hidden}");
}

/// The program names a subject in clear, whatever the store has.
#[tokio::test]
async fn hidden_subjects_are_reset_by_their_names() {
    let http = HttpOptions::new().hash_subjects(true).headers(HeaderStyle::None);
    let limiter = Limiter::builder(MemoryBackend::new()).http(http).build();
    let policy = Policy::new("p", Quota::new(1, Duration::from_secs(3_600)));
    let layer = RateLimitLayer::new(policy.clone()).key(Key::query("q"));
    let router = local(Router::new().route("/", get(|| async {})).layer(layer), &limiter);
    let status = async || send(&router, support::get("/?q=alice")).await.status().as_u16();
    assert_eq!([status().await, status().await], [200, 429]);
    assert!(!limiter.peek(&policy, "alice", 1).await.unwrap().is_allowed());
    limiter.reset(&policy, "alice").await.unwrap();
    assert_eq!(status().await, 200);
}
