//! What an application reads as one value is one subject, and what it reads as two is two: nobody
//! gets a second budget by another spelling of the same login, or shares that of another. The oracle
//! is what axum's and axum-extra's own extractors read.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::{HeaderValue, Request, StatusCode};
use axum::routing::get;
use axum::{RequestPartsExt as _, Router};
use axum_extra::TypedHeader;
use axum_extra::extract::CookieJar;
use axum_extra::headers::Authorization;
use axum_extra::headers::authorization::{Basic, Bearer};
use support::scaled;
use support::subjects::Subjects;
use tollgate::http::OnMissingKey;
use tollgate::{HttpOptions, Key};
use tower::ServiceExt as _;

/// xorshift64*: quick, and the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn spaces(&mut self) -> &'static str {
        self.pick(&["", "", " ", "  ", "\t"])
    }

    /// A value that may hold anything.
    fn value(&mut self) -> String {
        let pieces = ["a", "B", "7", "\"", "%", "é", " ", "=", ";", "&", "/", "+", "~", "%41", "{"];
        (0..1 + self.below(5)).map(|_| self.pick(&pieces)).collect()
    }

    /// The text with some of its bytes percent-encoded, in either case, and at least those that
    /// must be.
    fn encoded(&mut self, text: &str) -> String {
        let mut encoded = String::new();
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'"' | b'~' if self.below(3) > 0 => {
                    encoded.push(byte.into());
                }
                _ if self.below(2) == 0 => encoded += &format!("%{byte:02x}"),
                _ => encoded += &format!("%{byte:02X}"),
            }
        }
        encoded
    }

    fn cookies(&mut self, value: &str) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        for _ in 0..1 + self.below(2) {
            let others = self.pick(&["", "a=b; ", "xsid=z;", "sid; ", "=c;", "SID=1; "]);
            let (name, value) = (self.encoded("sid"), self.encoded(value));
            let [a, b, c, d] = [(); 4].map(|()| self.spaces());
            let line =
                format!("{others}{a}{name}{b}={c}{value}{d}{}", self.pick(&["", ";", ";x=y"]));
            request.headers_mut().append("cookie", HeaderValue::try_from(line).unwrap());
        }
        request
    }

    fn authorization(&mut self, scheme: &str, credentials: &str) -> Request<Body> {
        let case = |byte: u8, upper| if upper { byte.to_ascii_uppercase() } else { byte };
        let scheme: String =
            scheme.bytes().map(|byte| char::from(case(byte, self.below(2) == 0))).collect();
        let line = format!("{scheme} {}{credentials}", self.pick(&["", "", " ", "   "]));
        Request::get("/").header("authorization", line).body(Body::empty()).unwrap()
    }

    fn query(&mut self, value: &str) -> Request<Body> {
        let (name, value) =
            (self.encoded("q"), self.encoded(value).replace("%20", "+").replace('"', "%22"));
        let (before, after) = (self.pick(&["", "a=b&", "&"]), self.pick(&["", "&", "&x", "&Q=1"]));
        Request::get(format!("/?{before}{name}={value}{after}")).body(Body::empty()).unwrap()
    }

    fn path(&mut self, value: &str) -> Request<Body> {
        let behind = self.pick(&["", "?id=1", "/rest"]);
        let target = format!("/{}{behind}", self.encoded(value).replace('"', "%22"));
        Request::get(target).body(Body::empty()).unwrap()
    }

    fn rest(&mut self, value: &str) -> Request<Body> {
        let target = format!("/x/{}", self.encoded(value).replace('"', "%22"));
        Request::get(target).body(Body::empty()).unwrap()
    }
}

async fn extracted<E: FromRequestParts<()> + 'static>(request: &Request<Body>) -> Option<E> {
    let (parts, ()) = {
        let mut copy = Request::new(());
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        copy.into_parts()
    };
    let mut parts = parts;
    parts.extract::<E>().await.ok()
}

/// A kind of key, with what makes a spelling of a value and what the application reads of it.
struct Kind {
    subjects: Subjects,
    spell: fn(&mut Random, &str) -> Request<Body>,
}

/// Returns what the application reads; `None` if it reads nothing.
async fn read(kind: usize, request: &Request<Body>, routes: &Router) -> Option<String> {
    match kind {
        0 => {
            let jar: CookieJar = extracted(request).await?;
            let value = jar.get("sid")?.value().to_owned();
            // Some applications read the quotes around a value as part of it, and others do not, so
            // they mean nothing. An empty value is none.
            let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            Some(quoted.unwrap_or(&value).to_owned()).filter(|value| !value.is_empty())
        }
        1 => {
            let header: TypedHeader<Authorization<Bearer>> = extracted(request).await?;
            Some(header.token().to_owned())
        }
        2 => {
            let header: TypedHeader<Authorization<Basic>> = extracted(request).await?;
            Some(format!("{}:{}", header.username(), header.password()))
        }
        3 => {
            let Query(query): Query<HashMap<String, String>> = extracted(request).await?;
            query.get("q").cloned()
        }
        _ => {
            let mut copy = Request::new(Body::empty());
            *copy.uri_mut() = request.uri().clone();
            let response = routes.clone().oneshot(copy).await.unwrap();
            let is_read = response.status() == StatusCode::OK;
            let text = support::text(response).await;
            is_read.then_some(text)
        }
    }
}

fn kinds() -> [Kind; 6] {
    let exempt = || HttpOptions::new().on_missing_key(OnMissingKey::Exempt);
    let of = |key, spell| Kind { subjects: Subjects::new(key, exempt()), spell };
    [
        of(Key::cookie("sid"), |random, value| random.cookies(value)),
        of(Key::header("authorization"), |random, value| {
            let token: String = value.chars().filter(char::is_ascii_graphic).collect();
            random.authorization("bearer", &format!("t{token}"))
        }),
        of(Key::header("authorization"), |random, value| {
            let credentials = format!("u:{value}");
            random.authorization("basic", &base64(credentials.as_bytes()))
        }),
        of(Key::query("q"), |random, value| random.query(value)),
        Kind {
            subjects: Subjects::on_routes(Key::path_param("id")),
            spell: |random, value| random.path(value),
        },
        Kind {
            subjects: Subjects::on_routes(Key::path_param("rest")),
            spell: |random, value| random.rest(value),
        },
    ]
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let digit = (digit <= chunk.len())
                .then(|| DIGITS[(word >> (18 - 6 * digit)) as usize & 63].into());
            text.push(digit.unwrap_or('='));
        }
    }
    text
}

#[tokio::test]
async fn requests_are_one_subject_if_and_only_if_the_application_reads_them_alike() {
    let mut random = Random(0x5ee_ded);
    let mut kinds = kinds();
    let routes = Router::new().route("/{id}", get(|Path(id): Path<String>| async { id })).route(
        "/{id}/{*rest}",
        get(|Path((id, rest)): Path<(String, String)>| async { if id == "x" { rest } else { id } }),
    );
    let (count, mut alike, mut apart) = (scaled(10_000, 1_000_000), 0, 0);
    for _ in 0..count {
        let kind = random.below(kinds.len());
        let value = random.value();
        // Sometimes it is another value, so that one subject for all would not do.
        let other = if random.below(4) == 0 { random.value() } else { value.clone() };
        let mut found = Vec::new();
        for value in [value, other] {
            let request = (kinds[kind].spell)(&mut random, &value);
            let shown = format!("{} {:?}", request.uri(), request.headers());
            let read = read(kind, &request, &routes).await;
            let (response, subject) = kinds[kind].subjects.ask(request).await;
            if read.is_some() {
                // What the application sees is counted.
                assert!(subject.is_some(), "{}: {shown}", response.status());
            }
            found.push((read, subject, shown));
        }
        let [(read, subject, shown), (other_read, other_subject, other_shown)] = &found[..] else {
            unreachable!()
        };
        if let (Some(read), Some(other_read)) = (read, other_read) {
            let (are_alike, is_one) = (read == other_read, subject == other_subject);
            assert_eq!(are_alike, is_one, "{read:?} {other_read:?}\n{shown}\n{other_shown}");
            alike += u32::from(are_alike);
            apart += u32::from(!are_alike);
        }
    }
    assert!(alike > count / 2 && apart > count / 20, "{alike} and {apart} of {count}");
}

/// The spellings by which one login was seen to have several budgets.
#[tokio::test]
async fn the_spellings_of_one_login_are_one_subject() {
    let cookies = ["abc", " abc", "%61bc", "a%62c", "%61%62%63", "\"abc\"", "%22abc%22"];
    let mut lines: Vec<_> = cookies.iter().map(|value| format!("sid={value}")).collect();
    lines.extend(["sid =abc".to_owned(), "s%69d=abc".to_owned(), "\tsid\t=\tabc\t".to_owned()]);
    let bearers = ["Bearer t", "bearer t", "BEARER t", "bEaRer t", "Bearer  t"].map(str::to_owned);
    let basics = ["Basic dTpw", "basic dTpw", "BASIC   dTpw"].map(str::to_owned);
    for (name, key, lines) in [
        ("cookie", Key::cookie("sid"), lines),
        ("authorization", Key::header("authorization"), bearers.to_vec()),
        ("proxy-authorization", Key::header("Proxy-Authorization"), basics.to_vec()),
    ] {
        let mut subjects = Subjects::new(key, HttpOptions::new());
        let mut found = Vec::new();
        for line in &lines {
            let request = Request::get("/").header(name, line).body(Body::empty()).unwrap();
            found.push(subjects.ask(request).await.1.unwrap_or_else(|| panic!("{line}")));
        }
        found.dedup();
        assert_eq!(found.len(), 1, "{lines:?}");
    }
}

/// What cannot be decoded is the client's error, whatever is done with requests without the key.
#[tokio::test]
async fn what_cannot_be_decoded_is_refused_and_never_exempt() {
    for on_missing in [OnMissingKey::Reject, OnMissingKey::Shared, OnMissingKey::Exempt] {
        let options = || HttpOptions::new().on_missing_key(on_missing);
        let paths = Subjects::on_routes_with(Key::path_param("id"), options());
        let cookies = Subjects::new(Key::cookie("sid"), options());
        for (mut subjects, targets) in [
            (paths, vec!["/%ff", "/a%c3", "/%ff/x", "/a/%ff", "/%80%80"]),
            (cookies, vec!["%ff", "a%c3", "%80%80"]),
        ] {
            for target in targets {
                let is_path = target.starts_with('/');
                let request = Request::get(if is_path { target } else { "/" });
                let request = request.header("cookie", format!("sid={target}"));
                let (response, subject) = subjects.ask(request.body(Body::empty()).unwrap()).await;
                assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{target} {on_missing:?}");
                assert_eq!(subject, None);
                assert!(support::text(response).await.contains("percent-encoded UTF-8"));
            }
        }
    }
}

/// In a group, what a client writes is never the subject of another kind of key.
#[tokio::test]
async fn kinds_of_keys_are_told_apart() {
    for written in
        ["198.51.100.9", "2001:db8:1:2/64", "2001:db8:1:2::/64", "::ffff:1.2.3.4", "*", "~missing"]
    {
        let mut subjects = Subjects::new(Key::query("who"), HttpOptions::new());
        let target = format!("/?who={}", written.replace('~', "%7E"));
        let request = Request::get(target).body(Body::empty()).unwrap();
        let subject = subjects.ask(request).await.1.unwrap();
        assert_ne!(subject, written);
        let mut paths = Subjects::on_routes(Key::path_param("id"));
        let target = format!("/{}", written.replace('/', "%2F"));
        let request = Request::get(target).body(Body::empty()).unwrap();
        assert_eq!(paths.ask(request).await.1.unwrap(), subject, "one text is one subject");
    }
}
