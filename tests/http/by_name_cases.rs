//! Requests whose subjects a program can name, for each kind of key: what is named is what the limit
//! has counted.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request};
use axum::routing::{MethodRouter, get};
use proptest::prelude::*;
use support::{send, text};
use tollgate::http::{KeyError, OnMissingKey};
use tollgate::{
    HttpOptions, Key, Limiter, LimiterBuilder, NamedSubject, Override, PerSubject, Policy, Quota,
    RateLimitLayer, RateLimited, Subject, rate_limit,
};

/// What a login layer has found out.
#[derive(Clone)]
struct Account(String);

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn account(parts: &Parts) -> Option<String> {
    Some(parts.extensions.get::<Account>()?.0.clone())
}

type Words = Query<HashMap<String, String>>;

/// A kind of key: a handler that counts by it, a layer that does, and the name of its subject. A key
/// with `args(…)` has no layer.
struct Kind {
    policy: &'static str,
    handler: MethodRouter,
    key: Option<Key>,
    name: fn(&Case) -> NamedSubject,
}

macro_rules! kind {
    ($name:literal, [$($key:tt)*], $layer:expr, $named:expr) => {{
        #[rate_limit(1, per = hour, name = $name, key = $($key)*)]
        async fn handler() {}
        Kind { policy: $name, handler: get(handler), key: Some($layer), name: $named }
    }};
}

fn kinds() -> Vec<Kind> {
    #[rate_limit(1, per = hour, name = "by name: args", key = args(words["q"]))]
    async fn args(Query(words): Words) -> Result<(), RateLimited> {
        Ok(())
    }
    #[rate_limit(
        1, per = hour, name = "by name: args and more",
        key = (ip, args(words["q"], words["q"].len()), header("x-key"))
    )]
    async fn args_and_more(Query(words): Words) -> Result<(), RateLimited> {
        Ok(())
    }
    #[rate_limit(1, per = hour, name = "by name: args alone", key = args(words["q"], words["q"]))]
    async fn args_alone(Query(words): Words) -> Result<(), RateLimited> {
        Ok(())
    }
    #[rate_limit(1, per = hour, name = "by name: args stacked", key = args(words["q"], words["q"]))]
    #[rate_limit(1_000, per = hour, name = "by name: beside args", key = global)]
    async fn args_stacked(Query(words): Words) -> Result<(), RateLimited> {
        Ok(())
    }
    let function = |policy, handler, name| Kind { policy, handler, key: None, name };
    vec![
        kind!("by name: ip", [ip], Key::ip(), |case| Subject::ip(case.address)),
        kind!("by name: global", [global], Key::global(), |_| Subject::global()),
        kind!("by name: header", [header("x-key")], Key::header("x-key"), |case| {
            Subject::header("X-Key", &case.one)
        }),
        kind!("by name: login", [header("authorization")], Key::header("authorization"), |case| {
            Subject::header("authorization", format!("basic {}", case.two))
        }),
        kind!("by name: cookie", [cookie("sid")], Key::cookie("sid"), |case| {
            Subject::cookie("sid", &case.one)
        }),
        kind!("by name: query", [query("q")], Key::query("q"), |case| {
            Subject::query("q", &case.one)
        }),
        kind!("by name: path", [path_param("id")], Key::path_param("id"), |case| {
            Subject::path_param("id", &case.two)
        }),
        kind!("by name: extension", [extension(Account)], Key::extension::<Account>(), |case| {
            case.one.as_str().into()
        }),
        kind!("by name: function", [self::account], Key::function(account), |case| {
            Subject::from(case.one.clone()).into()
        }),
        kind!(
            "by name: tuple",
            [(header("x-key"), ip, query("q"), self::account, global)],
            Key::all([
                Key::header("x-key"),
                Key::all([Key::ip(), Key::query("q")]),
                Key::function(account),
                Key::global(),
            ]),
            |case| {
                let [key, query] = [Subject::header("x-key", &case.one), case.query()];
                let pair = Subject::all([Subject::ip(case.address), query]);
                Subject::all([key, pair, case.one.as_str().into(), Subject::global()])
            }
        ),
        kind!("by name: without", [header("x-none")], Key::header("x-none"), |_| {
            Subject::without_key()
        }),
        kind!(
            "by name: half",
            [(query("none"), path_param("id"))],
            Key::all([Key::query("none"), Key::path_param("id")]),
            |case| Subject::all([Subject::without_key(), Subject::path_param("id", &case.two)])
        ),
        function("by name: args", get(args), |case| Subject::args([&case.one])),
        function("by name: args alone", get(args_alone), |case| Subject::args([&case.one; 2])),
        function("by name: args stacked", get(args_stacked), |case| Subject::args([&case.one; 2])),
        function("by name: args and more", get(args_and_more), |case| {
            let args = Subject::args([case.one.clone(), case.one.len().to_string()]);
            let key = Subject::header("x-key", &case.one);
            Subject::all([Subject::ip(case.address), args, key])
        }),
    ]
}

/// The number of kinds of keys.
pub(crate) fn kind_count() -> usize {
    kinds().len()
}

/// The settings of a limiter on which subjects depend.
#[derive(Clone, Copy, Debug)]
struct Settings {
    ipv6_prefix: u8,
    has_pepper: bool,
    hides_all: bool,
}

impl Settings {
    fn apply(self, builder: LimiterBuilder) -> LimiterBuilder {
        let mut http = HttpOptions::new()
            .on_missing_key(OnMissingKey::Shared)
            .nat64_prefixes(["2001:db8:64::/96"])
            .unwrap()
            .ipv6_prefix(self.ipv6_prefix)
            .unwrap();
        if self.has_pepper {
            http = http.pepper("0123456789abcdef").unwrap();
        }
        builder.http(http.hash_subjects(self.hides_all))
    }
}

/// A request, what it says of its client, and the limiter that it meets.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    kind: usize,
    by_layer: bool,
    settings: Settings,
    address: IpAddr,
    one: String,
    two: String,
    is_quoted: bool,
}

/// Text that clients send, among it what subjects look like.
fn sent() -> impl Strategy<Value = String> {
    const ODD: [&str; 9] =
        ["*", "192.0.2.1", "2001:db8::/64", "~missing", "a|b", "a\\", "q=1&r", "Ä ö", "%41"];
    prop_oneof![
        "[!#-~][ !#-~]{0,20}[!#-~]",
        "[^\"\\pC\\s]{1,12}",
        Just("~607474ca475a9724d7360aba71a56d5d".to_owned()),
        "[a-z]{120,140}",
        prop::sample::select(ODD.as_slice()).prop_map(str::to_owned),
    ]
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    /// The forms in which an IPv4 address is part of an IPv6 address.
    const PREFIXES: [&str; 5] = ["::ffff:0:0", "64:ff9b::", "2001:db8:64::", "::ffff:0:0:0", "::"];
    let v4 = any::<[u8; 4]>().prop_map(Ipv4Addr::from);
    let v6 = any::<u128>().prop_map(Ipv6Addr::from);
    let mapped = (prop::sample::select(PREFIXES.as_slice()), v4.clone()).prop_map(|(net, host)| {
        let net: Ipv6Addr = net.parse().unwrap();
        Ipv6Addr::from(u128::from(net) | u128::from(host.to_bits()))
    });
    prop_oneof![v4.prop_map(IpAddr::V4), v6.prop_map(IpAddr::V6), mapped.prop_map(IpAddr::V6)]
}

/// Cases of one kind of key.
pub(crate) fn cases(kind: usize) -> impl Strategy<Value = Case> {
    let settings = (prop::sample::select(vec![48, 56, 61, 64, 128]), any::<[bool; 2]>());
    let settings = settings.prop_map(|(ipv6_prefix, [has_pepper, hides_all])| Settings {
        ipv6_prefix,
        has_pepper,
        hides_all,
    });
    let request = (addresses(), sent(), sent(), any::<[bool; 2]>());
    (settings, request).prop_map(move |(settings, (address, one, two, [by_layer, is_quoted]))| {
        Case { kind, by_layer, settings, address, one, two, is_quoted }
    })
}

/// Returns the text with all percent-encoded but letters and digits.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            _ => write!(encoded, "%{byte:02X}").unwrap(),
        }
    }
    encoded
}

impl Case {
    fn query(&self) -> NamedSubject {
        Subject::query("q", &self.one)
    }

    fn request(&self) -> Request<Body> {
        let (one, two) = (encoded(&self.one), encoded(&self.two));
        let quote = if self.is_quoted { "\"" } else { "" };
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).unwrap();
        Request::get(format!("/{two}?a=b&q={one}"))
            .header("x-key", value(&self.one))
            .header("authorization", value(&format!("BasIC   {}==", self.two)))
            .header("cookie", format!("a=b; sid={quote}{one}{quote}"))
            .extension(Account(self.one.clone()))
            .body(Body::empty())
            .unwrap()
    }

    /// The router of this kind, and its policy. Behind the layer, a handler answers with the subject
    /// that its key finds in the request.
    fn router(&self, limiter: &Limiter) -> (Router, Policy, NamedSubject) {
        let Kind { policy, handler, key, name } = kinds().swap_remove(self.kind);
        let quota = Quota::per_hour(1);
        let (policy, route) = match key {
            Some(key) if self.by_layer => {
                let policy = Policy::named(format!("{policy}, a layer"), quota);
                let layer = RateLimitLayer::new(policy.clone()).key(key.clone());
                let told = async move |parts: Parts| subject_in(&key, &parts).await;
                (policy, get(told).layer(layer))
            }
            _ => (Policy::new(policy, quota), handler),
        };
        let address = MockConnectInfo(SocketAddr::from((self.address, 4711)));
        let router = Router::new().route("/{id}", route).layer(limiter.layer()).layer(address);
        (router, policy, name(self))
    }

    /// What is used up by requests is free again after a reset by name, and what is used up by name
    /// is so for requests. `builder` is that of a limiter that nobody else uses.
    pub(crate) async fn is_named(&self, builder: LimiterBuilder) {
        let limiter = self.settings.apply(builder).build();
        let (router, policy, name) = self.router(&limiter);
        let ask = async || send(&router, self.request()).await.status().as_u16();
        let reset = async |subject: NamedSubject| limiter.reset(&policy, subject).await.unwrap();
        // Other cases have used the same store.
        reset(name.clone()).await;
        let first = send(&router, self.request()).await;
        assert_eq!(first.status(), 200, "{self:?}");
        let found = text(first).await;
        assert_eq!(ask().await, 429, "{self:?}");
        assert!(!limiter.peek(&policy, &name, 1).await.unwrap().is_allowed(), "{self:?}");
        reset(name.clone()).await;
        assert!(limiter.check(&policy, &name).await.unwrap().is_allowed(), "{self:?}");
        assert_eq!(ask().await, 429, "{self:?}");
        // The text under which it is counted is a name, too.
        let counted = limiter.subject_text(&name);
        reset(Subject::counted(&counted)).await;
        assert_eq!([ask().await, ask().await], [200, 429], "{self:?}");
        if !found.is_empty() {
            limiter.reset(&policy, found.as_str()).await.unwrap();
            assert_eq!([ask().await, ask().await], [200, 429], "{self:?}");
        }
        if self.settings.hides_all {
            assert_eq!(counted.len(), 32, "{self:?}");
        }
        reset(name).await;
    }

    /// The override of a subject by name applies to its requests, and to no others.
    pub(crate) async fn is_overridden(&self, builder: LimiterBuilder) {
        let (_, policy, name) = self.router(&Limiter::new(tollgate::MemoryBackend::new()));
        let plans = PerSubject::default()
            .with(policy.name(), name.clone(), Override::new().limit(2))
            .with(policy.name(), "somebody else", Override::new().block(true));
        let limiter = self.settings.apply(builder.per_subject(plans)).build();
        let (router, ..) = self.router(&limiter);
        let ask = async || send(&router, self.request()).await.status().as_u16();
        limiter.reset(&policy, &name).await.unwrap();
        assert_eq!([ask().await, ask().await, ask().await], [200, 200, 429], "{self:?}");
        limiter.reset(&policy, &name).await.unwrap();
    }
}

async fn subject_in(key: &Key, parts: &Parts) -> Result<String, String> {
    let subject = key.subject(parts).await.map_err(|error: KeyError| error.to_string())?;
    Ok(subject.as_str().to_owned())
}
