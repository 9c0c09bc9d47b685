//! Configuration: what is wrong is told with its place and a remedy, and overrides follow the
//! file while requests come.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tollgate::{
    Ban, Config, Limiter, LimiterBuilder, MemoryBackend, OnError, Outcome, Override, Overrides,
    Policy, Quota, Source, rate_limit,
};

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);
/// By when a changed file must have taken effect.
const TWO_SECONDS: Duration = Duration::from_secs(2);

#[allow(dead_code, reason = "the annotation is what counts")]
#[rate_limit(10, per = hour, name = "orders", key = args(who))]
async fn orders(who: &str) -> Result<(), tollgate::RateLimited> {
    Ok(())
}

#[allow(dead_code, reason = "the annotation is what counts")]
#[rate_limit(2, per = second, name = "uploads", key = args(who))]
#[rate_limit(5, per = minute, key = args(who))]
async fn uploads(who: &str) -> Result<(), tollgate::RateLimited> {
    Ok(())
}

/// As the annotation has it.
fn policy() -> Policy {
    Policy::new("orders", Quota::new(10, HOUR))
}

/// A directory of one test, which is gone with it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tollgate-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// As a program starts; what is wrong in words.
fn start(path: &Path, variables: &[(&str, &str)]) -> Result<Limiter, String> {
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let config = Config::load_with(path, variables).map_err(|error| error.to_string())?;
    Limiter::from_config(&config).map_err(|error| error.to_string())
}

/// Nobody passes a limit that a file blocks, by each way to write that.
#[tokio::test]
async fn a_file_blocks() {
    let directory = Directory::new("blocks");
    for text in [
        "block = true",
        "limit = 0",
        "limit = 0\nper = \"2h\"\non_error = \"open\"",
        "quotas = [{ limit = 9, per = 1 }, { limit = 0, per = 60 }]",
    ] {
        let path = directory.write("blocks.toml", &format!("[policies.orders]\n{text}\n"));
        let limiter = start(&path, &[]).unwrap();
        let limited = tollgate::testing::scope(limiter.clone(), orders("ann")).await.unwrap_err();
        assert_eq!(limited.decision().unwrap().outcome(), Outcome::Blocked, "{text}");
        let path = directory.write("lifted.toml", "[policies.orders]\nblock = false\n");
        let limiter = start(&path, &[]).unwrap();
        assert!(limiter.check(&policy(), "ann").await.unwrap().is_allowed());
    }
}

/// A file gives a limit a rule for bans, in each format, and takes a declared one away.
#[tokio::test]
async fn a_file_bans() {
    let directory = Directory::new("bans");
    let rule = Ban::new(5, 15 * MINUTE);
    let grown = rule.grow(2).most(24 * HOUR);
    for (name, text, expected) in [
        ("a.toml", "[policies.orders]\nban = { after = 5, for = \"15m\" }", Some(rule)),
        (
            "b.toml",
            "[policies.orders.ban]\nafter = 5\nfor = 900\ngrow = 2\nmost = \"1d\"",
            Some(grown),
        ),
        ("a.json", r#"{"policies": {"orders": {"ban": {"after": 5, "for": "15m"}}}}"#, Some(rule)),
        ("b.json", r#"{"policies": {"orders": {"ban": false}}}"#, None),
        (
            "a.yaml",
            "policies:\n  orders:\n    ban: { after: 5, for: 15m, grow: 2, most: 1d }",
            Some(grown),
        ),
        ("b.yaml", "policies:\n  orders:\n    ban: false", None),
        ("c.toml", "[policies.orders]\nban = false", None),
    ] {
        let limiter = start(&directory.write(name, text), &[]).unwrap();
        let overrides = limiter.overrides();
        assert_eq!(overrides.get("orders").unwrap().get_ban(), Some(expected), "{text}");
    }
    let text = "[policies.orders]\nlimit = 1\nban = { after = 2, for = \"1d\" }";
    let limiter = start(&directory.write("used.toml", text), &[]).unwrap();
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        outcomes.push(limiter.check(&policy(), "ann").await.unwrap().outcome());
    }
    assert_eq!(outcomes[0], Outcome::Allowed);
    assert!(matches!(outcomes[1], Outcome::Refused { .. }));
    assert!(outcomes[2..].iter().all(|outcome| matches!(outcome, Outcome::Banned { .. })));
}

/// What is wrong with a file, where it stands and what to do.
#[test]
fn what_is_wrong_is_told() {
    // The file, and what the message has to contain: the key, and a remedy.
    let wrong = [
        // Keys that there are not, at every level.
        ("polices = 1", "polices", "did you mean `policies`?"),
        ("[backends]\nurl = \"x\"", "backends", "did you mean `backend`?"),
        ("[backend]\nurll = \"x\"", "backend.urll", "did you mean `url`?"),
        ("[breaker]\nfailures = 3", "breaker.failures", "`failure_threshold`"),
        ("[local_tier]\nleases = 3", "local_tier.leases", "did you mean `lease`?"),
        ("[http]\ntrusted_proxy = []", "http.trusted_proxy", "did you mean `trusted_proxies`?"),
        ("[policies.orders]\nlimt = 3", "policies.\"orders\".limt", "did you mean `limit`?"),
        ("[policies.orders]\nname = \"x\"", "policies.\"orders\".name", "there is `limit`, `per`"),
        (
            "[[policies.uploads.quotas]]\nlimit = 1\nper = 1\nbrust = 1",
            "policies.\"uploads\".quotas[0].brust",
            "did you mean `burst`?",
        ),
        // Values of another kind.
        ("instances = \"3\"", "instances", "write a whole number from 0 to 4294967295, not \"3\""),
        ("instances = -1", "instances", "write a whole number from 0 to 4294967295, not `-1`"),
        ("instances = 1.5", "instances", "write a whole number from 0 to 4294967295, not `1.5`"),
        ("[policies.orders]\nlimit = 5000000000", "policies.\"orders\".limit", "to 4294967295"),
        ("[policies.orders]\nlimit = true", "policies.\"orders\".limit", "a whole number"),
        ("[policies.orders]\nshadow = \"yes\"", "policies.\"orders\".shadow", "`true` or `false`"),
        ("[policies.orders]\nenabled = 1", "policies.\"orders\".enabled", "`true` or `false`"),
        ("policies = []", "policies", "write a table of keys, not a list"),
        ("backend = \"redis://h\"", "backend", "write a table of keys, not \"redis://…\""),
        ("[http]\ntrusted_proxies = \"10.0.0.0/8\"", "http.trusted_proxies", "write a list"),
        ("[http]\nipv6_prefix = 300", "http.ipv6_prefix", "a whole number from 0 to 255"),
        // Lengths of time.
        ("[backend]\ndeadline = \"fast\"", "backend.deadline", "such as \"250ms\""),
        ("[backend]\ndeadline = 0.5", "backend.deadline", "such as \"250ms\""),
        ("[backend]\ndeadline = 0", "backend.deadline", "write \"1ms\""),
        ("[backend]\nmax_age = \"old\"", "backend.max_age", "such as \"250ms\""),
        ("[backend]\nmax_age = \"1m\"", "backend.max_age", "set `backend.url`"),
        ("[backend]\nurl = \"redis://h\"\nmax_age = 0", "backend.max_age", "write \"1ms\""),
        ("[policies.orders]\nper = \"1 m\"", "policies.\"orders\".per", "such as \"250ms\""),
        ("[policies.orders]\nper = -5", "policies.\"orders\".per", "not `-5`"),
        // Words.
        ("on_error = \"opne\"", "on_error", "did you mean `open`?"),
        ("on_error = 1", "on_error", "text in quotes"),
        (
            "[policies.orders]\nalgorithm = \"token-bucket\"",
            "policies.\"orders\".algorithm",
            "did you mean `token_bucket`?",
        ),
        ("[http]\nheaders = \"all\"", "http.headers", "there is `ietf`, `legacy`, `both`, `none`"),
        ("[http]\non_missing_key = \"refuse\"", "http.on_missing_key", "there is `reject`"),
        // Numbers out of range.
        ("instances = 0", "instances", "at least 1"),
        ("[backend]\nmax_keys = 0", "backend.max_keys", "at least 1"),
        ("[breaker]\nfailure_threshold = 0", "breaker.failure_threshold", "at least 1"),
        (
            "[breaker]\nreset_timeout = 9\nmax_reset_timeout = 8",
            "breaker.max_reset_timeout",
            "raise it",
        ),
        ("[http]\nipv6_prefix = 0", "http.ipv6_prefix", "1 to 128 bits"),
        ("[http]\nclient_header = \"a b\"", "http.client_header", "no name of a header"),
        ("[http]\nclient_header = \"forwarded\"", "http.client_header", "`forwarded_header`"),
        (
            "[http]\nclient_header = \"x-real-ip\"\nforwarded_header = \"forwarded\"",
            "http.client_header",
            "remove one of the two",
        ),
        ("[http]\nnat64_prefixes = [\"::/33\"]", "http.nat64_prefixes", "2001:db8:64::/96"),
        ("[policies.orders]\nlimit = -1", "policies.\"orders\".limit", "-1"),
        ("[policies.orders]\nblock = 1", "policies.\"orders\".block", "`true` or `false`"),
        ("[policies.orders]\nban = true", "policies.\"orders\".ban", "after = 5, for = \"15m\""),
        ("[policies.orders]\nban = 5", "policies.\"orders\".ban", "after = 5, for = \"15m\""),
        ("[policies.orders.ban]\nafter = 5", "policies.\"orders\".ban", "`for`"),
        ("[policies.orders.ban]\nfor = 5", "policies.\"orders\".ban", "`after`"),
        (
            "[policies.orders.ban]\nafter = 5\nfor = 5\ngrows = 2",
            "policies.\"orders\".ban.grows",
            "did you mean `grow`?",
        ),
        ("[policies.orders.ban]\nafter = -1\nfor = 5", "policies.\"orders\".ban.after", "-1"),
        (
            "[policies.orders.ban]\nafter = 5\nfor = \"15 m\"",
            "policies.\"orders\".ban.for",
            "text with units",
        ),
        (
            "[policies.orders.ban]\nafter = 0\nfor = 5",
            "policies.\"orders\".ban.after",
            "at least 1 refusal",
        ),
        (
            "[policies.orders.ban]\nafter = 1\nfor = \"4000d\"",
            "policies.\"orders\".ban.for",
            "at most ten years",
        ),
        (
            "[policies.orders.ban]\nafter = 1\nfor = 5\ngrow = 0",
            "policies.\"orders\".ban.grow",
            "at least 1",
        ),
        (
            "[policies.orders.ban]\nafter = 1\nfor = 5\nmost = 4",
            "policies.\"orders\".ban.most",
            "as long as the first",
        ),
        (
            "[policies.orders]\nlimit = 0\nenabled = false",
            "policies.\"orders\".enabled",
            "leave one out",
        ),
        ("[policies.orders]\nper = \"400d\"", "policies.\"orders\".per", "at most 366 days"),
        (
            "[policies.orders]\nlimit = 2000000\nper = 1",
            "policies.\"orders\".per",
            "lower the limit or lengthen the period",
        ),
        // What does not go together.
        ("[policies.orders]\nburst = 3", "policies.\"orders\".burst", "leave `burst` out"),
        (
            "[policies.uploads]\nlimit = 3",
            "policies.\"uploads\".limit",
            "say all of them in `quotas`",
        ),
        (
            "[policies.orders]\nlimit = 3\nquotas = [{ limit = 1, per = 1 }]",
            "policies.\"orders\".limit",
            "leave `limit` out",
        ),
        (
            "[policies.orders]\nquotas = [{ limit = 1, per = 1 }, { limit = 0, per = 0 }]",
            "policies.\"orders\".quotas[1]",
            "longer than zero",
        ),
        ("[policies.orders]\nquotas = [{ limit = 1 }]", "quotas", "`per` is missing: add it"),
        ("[policies.orders]\nquotas = []", "policies.\"orders\".quotas", "1 to 4 quotas"),
        (
            "on_error = \"local\"\n[backend]\nurl = \"redis://h\"",
            "on_error",
            "say in `instances` how many",
        ),
        (
            "[backend]\nurl = \"redis://h\"\n[policies.orders]\non_error = \"local\"",
            "policies.\"orders\".on_error",
            "instances",
        ),
        (
            "[backend]\nurl = \"redis://h\"\nmax_keys = 9",
            "backend.max_keys",
            "leave one of them out",
        ),
        // Addresses.
        ("[backend]\nurl = \"localhost:6379\"", "backend.url", "redis://"),
        ("[backend]\nurl = \"redis://h/x\"", "backend.url", "database"),
        ("[http]\ntrusted_proxies = [\"10.0.0\"]", "http.trusted_proxies", "10.0.0.0/8"),
        // Policies that there are not.
        ("[policies.order]\nlimit = 3", "policies.\"order\"", "did you mean `orders`?"),
        ("[policies.\"a.b c\"]\n", "policies.\"a.b c\"", "there is `annotated`"),
        // No TOML.
        ("instances = ", "line 1", "column"),
        ("instances = 1\ninstances = 2", "line 2", "duplicate"),
    ];
    let directory = Directory::new("wrong");
    for (text, key, remedy) in wrong {
        let path = directory.write("tollgate.toml", text);
        let error = start(&path, &[]).expect_err(text);
        let of_file = error.strip_prefix(&format!("{}: ", path.display())).unwrap_or_else(|| {
            panic!("the file is not named: {error}");
        });
        assert!(of_file.contains(key) && of_file.contains(remedy), "{text}\n{error}");
        println!("{of_file}");
    }
    println!("{} wrong configurations", wrong.len());
}

/// The same in the other formats, in the environment, and of the file itself.
#[test]
fn wherever_it_stands() {
    let directory = Directory::new("wherever");
    let json = directory.write("tollgate.json", r#"{"policies": {"orders": {"limt": 3}}}"#);
    let yaml = directory.write("tollgate.yaml", "policies:\n  orders:\n    limt: 3\n");
    for path in [&json, &yaml] {
        let error = start(path, &[]).unwrap_err();
        let expected = "policies.\"orders\".limt: there is no such key: did you mean `limit`?";
        assert_eq!(error, format!("{}: {expected}", path.display()));
    }
    for (name, text, place) in [
        ("broken.json", "{\"instances\": 1,}", "line 1"),
        ("broken.yaml", "instances: [1", "line"),
        ("twice.yaml", "instances: 1\ninstances: 2\n", "instances"),
        ("tollgate.ini", "x", "`.toml`, `.json` or `.yaml`"),
    ] {
        let path = directory.write(name, text);
        let error = start(&path, &[]).unwrap_err();
        assert!(error.starts_with(&path.display().to_string()), "{error}");
        assert!(error.contains(place), "{error}");
    }
    let error = start(&directory.0.join("nowhere.toml"), &[]).unwrap_err();
    assert!(error.contains("nowhere.toml: cannot read it"), "{error}");

    let empty = directory.write("empty.toml", "");
    for (variable, value, key, remedy) in [
        ("TOLLGATE_INSTANCE", "3", "instance: ", "did you mean `instances`?"),
        ("TOLLGATE_INSTANCES", "many", "instances: ", "a whole number"),
        ("TOLLGATE_BACKEND__DEADLINE", "soon", "backend.deadline: ", "such as \"250ms\""),
        ("TOLLGATE_BACKEND__MAX_AGE", "soon", "backend.max_age: ", "such as \"250ms\""),
        ("TOLLGATE_BACKEND__MAX_KEYS", "0", "backend.max_keys: ", "at least 1"),
        ("TOLLGATE_HTTP__IPV6_PREFIX", "129", "http.ipv6_prefix: ", "1 to 128 bits"),
        ("REDIS_URL", "localhost", "backend.url: ", "redis://"),
        // What is no list, and no table, is told as it is written there.
        ("TOLLGATE_HTTP__TRUSTED_PROXIES", "10", "http.trusted_proxies: ", "PROXIES='[\""),
        ("TOLLGATE_HTTP__NAT64_PREFIXES", "true", "http.nat64_prefixes: ", "PREFIXES='[\""),
        ("TOLLGATE_BACKEND", "redis://h", "backend: ", "TOLLGATE_BACKEND__KEY"),
        ("TOLLGATE_HTTP__TRUSTED_PROXIES", "10.0.0.0/8,x", "http.trusted_proxies: ", "x"),
        // Texts are taken as they stand: these are no numbers.
        ("TOLLGATE_BACKEND__URL", "17", "backend.url: ", "redis://"),
        ("TOLLGATE_BACKEND__CA_FILE", "17", "backend.ca_file: ", "set `backend.url`"),
        ("TOLLGATE_BACKEND__SERVER_NAME", "true", "backend.server_name: ", "set `backend.url`"),
        ("TOLLGATE_BACKEND__SENTINEL_TLS", "yes", "backend.sentinel_tls: ", "`true` or `false`"),
        ("TOLLGATE_BACKEND__PASSWORD_FIL", "x", "backend.password_fil: ", "`password_file`"),
    ] {
        let error = start(&empty, &[(variable, value)]).unwrap_err();
        let place = format!("the environment variable {variable}: {key}");
        assert!(error.starts_with(&place) && error.contains(remedy), "{error}");
    }
    // A password is not repeated.
    let error = start(&empty, &[("REDIS_URL", "redis://me:secret@h/x")]).unwrap_err();
    assert!(!error.contains("secret"), "{error}");
}

/// Each format says the same, and what the environment says comes first.
#[tokio::test]
async fn what_is_right_is_done() {
    let directory = Directory::new("right");
    let toml =
        "instances = 2\n[backend]\nmax_keys = 1000\n[policies.orders]\nlimit = 3\nper = \"1m\"\n";
    let json = r#"{"instances": 2, "backend": {"max_keys": 1000},
                   "policies": {"orders": {"limit": 3, "per": 60}}}"#;
    let yaml =
        "instances: 2\nbackend:\n  max_keys: 1000\npolicies:\n  orders: {limit: 3, per: 1m}\n";
    let expected = Overrides::new().with("orders", Override::new().limit(3).per(MINUTE));
    for (name, text) in [("a.toml", toml), ("a.json", json), ("a.yaml", yaml), ("a.yml", yaml)] {
        let limiter = start(&directory.write(name, text), &[]).unwrap();
        assert_eq!(limiter.overrides(), expected, "{name}");
        for remaining in [2, 1, 0] {
            assert_eq!(limiter.check(&policy(), "a").await.unwrap().remaining(), remaining);
        }
        assert!(!limiter.check(&policy(), "a").await.unwrap().is_allowed());
    }
    for (name, text) in [("e.toml", "# nothing\n"), ("e.yaml", "# nothing\n"), ("e.json", "{}")] {
        let limiter = start(&directory.write(name, text), &[]).unwrap();
        assert_eq!(limiter.check(&policy(), "a").await.unwrap().remaining(), 9, "{name}");
    }
    // Nobody answers there, so that it shows which one is asked and what is done then.
    let text = "on_error = \"closed\"\n[backend]\nurl = \"redis://127.0.0.1:2\"\ndeadline = 1\n";
    let path = directory.write("dead.toml", text);
    assert!(start(&path, &[]).unwrap().check(&policy(), "a").await.is_err());
    let variables = [
        ("TOLLGATE_ON_ERROR", "open"),
        ("TOLLGATE_TEST_SCALE", "no setting"),
        ("TOLLGATE_HTTP__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
        ("TOLLGATE_BREAKER__ENABLED", "false"),
        ("OTHER", "x"),
    ];
    let limiter = start(&path, &variables).unwrap();
    assert_eq!(limiter.check(&policy(), "a").await.unwrap().source(), Source::Open);
    assert!(limiter.stats().breaker.is_none());
    // The more particular of two variables wins.
    let variables = [("TOLLGATE_BACKEND__URL", "redis://127.0.0.1:2"), ("REDIS_URL", "nonsense")];
    assert!(start(&path, &variables).is_ok());
}

/// Variables that are there and say nothing: empty URLs, and what Kubernetes makes of the Services
/// `tollgate` and `tollgate-redis`.
#[tokio::test]
async fn variables_that_are_no_settings() {
    let directory = Directory::new("no-settings");
    let empty = directory.write("empty.toml", "");
    let variables = [
        ("REDIS_URL", ""),
        ("TOLLGATE_BACKEND__URL", ""),
        ("TOLLGATE_SERVICE_HOST", "10.96.0.17"),
        ("TOLLGATE_SERVICE_PORT", "80"),
        ("TOLLGATE_SERVICE_PORT_HTTP", "80"),
        ("TOLLGATE_PORT", "tcp://10.96.0.17:80"),
        ("TOLLGATE_PORT_80_TCP", "tcp://10.96.0.17:80"),
        ("TOLLGATE_PORT_80_TCP_PROTO", "tcp"),
        ("TOLLGATE_REDIS_SERVICE_HOST", "10.96.0.18"),
        ("TOLLGATE_REDIS_PORT", "tcp://10.96.0.18:6379"),
    ];
    let limiter = start(&empty, &variables).unwrap();
    let decision = limiter.check(&policy(), "a").await.unwrap();
    assert_eq!((decision.remaining(), decision.source()), (9, Source::Store));
    // An empty variable does not hide the one that is set, nor the file.
    let full = directory.write("full.toml", "[backend]\nurl = \"nonsense\"\n");
    let error = start(&full, &variables).unwrap_err();
    assert!(error.starts_with(&full.display().to_string()), "{error}");
    let variables = [("REDIS_URL", "nonsense"), ("TOLLGATE_BACKEND__URL", "")];
    let error = start(&empty, &variables).unwrap_err();
    assert!(error.starts_with("the environment variable REDIS_URL: "), "{error}");
    // A port that somebody wrote is a mistake.
    let error = start(&empty, &[("TOLLGATE_PORT", "8080")]).unwrap_err();
    assert!(error.contains("there is no such key"), "{error}");
}

/// Wherever a URL with a password is written, and whatever is wrong with it or beside it: no error
/// repeats the password.
#[test]
fn no_error_repeats_a_password() {
    let directory = Directory::new("passwords");
    let empty = directory.write("empty.toml", "");
    let mut told = 0;
    for url in [
        "redis://me:hunter2@h/x",
        "redis://me:hunter/2@h",
        "redis://:hunter?2@h",
        "redis://hunter2",
        "redis://h?sentinel_master=m&sentinel_password=hunter2&x=1",
    ] {
        for (name, text) in [
            ("a.toml", format!("[backend]\nurl = \"{url}\"\nurl = \"{url}\"\n")),
            ("a.toml", format!("[backend]\nurl = \"{url}\n")),
            ("a.toml", format!("[backend]\nurl = {url}\n")),
            ("a.toml", format!("[backend]\nurl = [\"{url}\"]\n")),
            ("a.toml", format!("[backend]\ndeadline = \"{url}\"\n")),
            ("a.toml", format!("[backend]\nmax_keys = \"{url}\"\n")),
            ("a.toml", format!("[backend]\nurl = \"{url}\" max_keys = 1\n")),
            ("a.toml", format!("[backend]\nurl = \"{url}\"\nca_file = \"/nowhere\"\n")),
            ("a.toml", format!("backend = \"{url}\"\n")),
            ("a.toml", format!("on_error = \"{url}\"\n")),
            ("a.json", format!("{{\"backend\": {{\"url\": \"{url}}}}}")),
            ("a.json", format!("{{\"backend\": \"{url}\"}}")),
            ("a.json", format!("{{\"backend\": {{\"url\": {url}}}}}")),
            ("a.yaml", format!("backend:\n  url: \"{url}\n")),
            ("a.yaml", format!("backend:\n  url: [{url}\n")),
            ("a.yaml", format!("backend: {url}\n")),
            ("a.yaml", format!("backend:\n  url: {url}: x\n")),
            ("a.yaml", format!("on_error: {url}\n")),
        ] {
            let Err(error) = start(&directory.write(name, &text), &[]) else { continue };
            assert!(!error.contains("hunter"), "{text}\n{error}");
            told += 1;
        }
        for variable in ["TOLLGATE_BACKEND", "TOLLGATE_ON_ERROR", "TOLLGATE_BACKEND__DEADLINE"] {
            let error = start(&empty, &[(variable, url)]).unwrap_err();
            assert!(!error.contains("hunter"), "{error}");
            told += 1;
        }
    }
    println!("{told} errors");
    assert!(told > 90, "{told}");
}

/// A list in a variable: as in a file, or with commas.
#[tokio::test]
async fn lists_in_variables() {
    let directory = Directory::new("lists");
    let empty = directory.write("empty.toml", "");
    let trusts = |value: &str, proxy: [u8; 4]| {
        let limiter = start(&empty, &[("TOLLGATE_HTTP__TRUSTED_PROXIES", value)]).expect(value);
        let router = axum::Router::new()
            .route(
                "/",
                axum::routing::get(|address: tollgate::ClientAddr| async move {
                    format!("{address:?}")
                }),
            )
            .layer(limiter.layer())
            .layer(axum::extract::connect_info::MockConnectInfo(std::net::SocketAddr::from((
                proxy, 1,
            ))));
        let request = axum::http::Request::get("/").header("x-forwarded-for", "198.51.100.7");
        let request = request.body(axum::body::Body::empty()).unwrap();
        async move {
            let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
            let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
            String::from_utf8(body.to_vec()).unwrap().contains("198.51.100.7")
        }
    };
    for value in [
        "10.0.0.0/8",
        "10.0.0.0/8,192.0.2.1",
        " 192.0.2.1 , 10.0.0.0/8 ,",
        "[\"10.0.0.0/8\"]",
        "[\"192.0.2.1\", \"10.0.0.0/8\"]",
        "[10.0.0.0/8]",
        "10.1.2.3",
    ] {
        assert!(trusts(value, [10, 1, 2, 3]).await, "{value}");
        assert!(!trusts(value, [203, 0, 113, 1]).await, "{value}");
    }
    for value in ["", " ", ",", "[]"] {
        assert!(!trusts(value, [10, 1, 2, 3]).await, "{value:?}");
    }
}

#[test]
fn what_the_program_declares_can_be_overridden() {
    let directory = Directory::new("declared");
    let path = directory.write("tollgate.toml", "[policies.layer]\nlimit = 3\n");
    let none = || std::iter::empty::<(String, String)>();
    assert!(Limiter::from_config(&Config::load_with(&path, none()).unwrap()).is_err());
    let layer = Policy::new("layer", Quota::new(1, MINUTE));
    let config = Config::load_with(&path, none()).unwrap().declare(layer);
    assert!(Limiter::from_config(&config).is_ok());
    let _: LimiterBuilder = config.builder().unwrap();
}

/// Looks until it holds or two seconds have passed, and says how long that took.
fn within_two_seconds(holds: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < TWO_SECONDS, "it has not taken effect");
        std::thread::yield_now();
    }
    start.elapsed()
}

/// The limit in force.
fn limit(limiter: &Limiter) -> Option<Override> {
    limiter.overrides().get("orders").cloned()
}

fn limited(limit: u32) -> Option<Override> {
    Some(Override::new().limit(limit))
}

fn text(limit: u32) -> String {
    format!("[policies.orders]\nlimit = {limit}\n")
}

fn watched(path: &Path) -> (Limiter, tollgate::config::ConfigWatcher) {
    let config = Config::load_with(path, []).unwrap();
    let limiter = Limiter::from_config(&config).unwrap();
    let watcher = config.watch(limiter.clone()).unwrap();
    (limiter, watcher)
}

#[test]
fn a_file_edited_under_load_takes_effect_and_no_count_is_lost() {
    let directory = Directory::new("load");
    let path = directory.write("tollgate.toml", &text(100));
    let (limiter, watcher) = watched(&path);
    let (stop, admitted) = (AtomicBool::new(false), AtomicU32::new(0));
    let used = || 1_000 - limiter_on(&limiter, 1_000);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let decision = limiter.check_now(&policy(), "s", 1).unwrap().unwrap();
                    admitted.fetch_add(u32::from(decision.is_allowed()), Ordering::Relaxed);
                    std::thread::yield_now();
                }
            });
        }
        let full = |limit| within_two_seconds(|| admitted.load(Ordering::Relaxed) == limit);
        full(100);
        // Each edit admits as much more as the limit is higher, and not one more: what was
        // counted is kept.
        for (edit, limit) in [250, 300, 900].into_iter().enumerate() {
            if edit == 1 {
                let other = directory.write("other", &text(limit));
                fs::rename(other, &path).unwrap();
            } else {
                fs::write(&path, text(limit)).unwrap();
            }
            println!("took effect after {:?}", full(limit));
        }
        // A lower one admits nothing, and a broken one changes nothing.
        fs::write(&path, text(20)).unwrap();
        println!("took effect after {:?}", within_two_seconds(|| limit(&limiter) == limited(20)));
        for (broken, reason) in [
            ("[policies.orders]\nlimit = 0\nblock = false\n", "a limit of 0 blocks"),
            ("[policies", "line 1"),
            ("[policies.order]\nlimit = 9\n", "did you mean `orders`?"),
            ("x = 1\n[policies.orders]\nlimit = 9\n", "there is no such key"),
        ] {
            fs::write(&path, broken).unwrap();
            let told = || watcher.error().is_some_and(|error| error.to_string().contains(reason));
            within_two_seconds(told);
            assert_eq!(limit(&limiter), limited(20), "{broken}");
        }
        assert_eq!(admitted.load(Ordering::Relaxed), 900);
        fs::write(&path, text(950)).unwrap();
        full(950);
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(used(), 950);
    assert_eq!(watcher.error(), None);
    // Its thread is awaited, so nobody watches any more.
    drop(watcher);
    fs::write(&path, text(5)).unwrap();
    assert_eq!(limit(&limiter), limited(950));
}

/// What remains under a limit.
fn limiter_on(limiter: &Limiter, limit: u32) -> u32 {
    let overrides = Overrides::new().with("orders", Override::new().limit(limit));
    let kept = limiter.overrides();
    limiter.set_overrides(overrides).unwrap();
    let remaining = limiter.check_now(&policy(), "s", 0).unwrap().unwrap().remaining();
    limiter.set_overrides(kept).unwrap();
    remaining
}

/// As Kubernetes does it: the file is a link through a link to a directory, which is replaced.
#[cfg(unix)]
#[test]
fn a_config_map_is_followed() {
    use std::os::unix::fs::symlink;

    let directory = Directory::new("map");
    let at = |name: &str| directory.0.join(name);
    let version = |name: &str, limit| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("tollgate.toml"), text(limit)).unwrap();
    };
    version("..1", 20);
    symlink("..1", at("..data")).unwrap();
    symlink("..data/tollgate.toml", at("tollgate.toml")).unwrap();
    let (limiter, _watcher) = watched(&at("tollgate.toml"));
    for (name, old, limit_now) in [("..2", "..1", 30), ("..3", "..2", 40)] {
        version(name, limit_now);
        symlink(name, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        fs::remove_dir_all(at(old)).unwrap();
        println!("{:?}", within_two_seconds(|| limit(&limiter) == limited(limit_now)));
    }
}

/// What the watching thread says goes to the program's own subscriber: to see it, this test is
/// run as a program of its own.
#[test]
fn the_log_tells_of_changes_and_of_what_is_wrong() {
    const THIS: &str = "the_log_tells_of_changes_and_of_what_is_wrong";
    if support::is_left_to_a_process_of_its_own(module_path!(), THIS) {
        return;
    }
    let log = support::log::Log::of_the_program();
    let directory = Directory::new("log");
    let path = directory.write("tollgate.toml", &text(20));
    let (limiter, _watcher) = watched(&path);
    let says = |words: &str| {
        within_two_seconds(|| log.text().lines().any(|line| line.contains(words)));
    };
    says(
        "tollgate::audit: the override of a policy has changed policy=\"orders\" old=none new=limit=20",
    );
    fs::write(&path, "[policies.orders]\nlimit = 30\nshadow = true\n").unwrap();
    says("old=limit=20 new=limit=30 shadow=true");
    fs::write(&path, "[policies.orders]\nlimti = 30\n").unwrap();
    says("did you mean `limit`?");
    let errors = log.text().lines().filter(|line| line.contains("ERROR")).count();
    assert_eq!(errors, 1, "{}", log.text());
    fs::write(&path, "instances = 7\n").unwrap();
    says("when the program starts anew");
    says("old=limit=30 shadow=true new=none");
    // By the program itself it is told, too.
    limiter
        .set_overrides(Overrides::new().with("orders", Override::new().on_error(OnError::Open)))
        .unwrap();
    says("old=none new=on_error=open");
}

#[test]
fn without_a_file_there_is_nothing_to_watch() {
    let limiter = Limiter::new(MemoryBackend::new());
    let config = Config::from_env().unwrap();
    assert!(config.watch(limiter).unwrap_err().to_string().contains("use `Config::load`"));
}
