//! Tests of every kind of key, and of requests that lack their key.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::header::COOKIE;
use axum::http::{HeaderValue, Request};

use super::*;
use crate::subject_hash::SubjectHash;

fn parts(configure: impl FnOnce(&mut Parts)) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    configure(&mut parts);
    parts
}

/// Resolves the key with an await. If no await is needed, also asserts that the result without one
/// is the same.
fn resolved(
    key: &Key,
    mut parts: Parts,
    on_missing: OnMissingKey,
) -> Result<Option<String>, KeyError> {
    let address = AddressOptions::new(&[], Vec::new());
    let hash = SubjectHash::default();
    let options = KeyOptions { address: &address, hash: &hash, on_missing };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let now = key.subject_now(&parts, options);
    let subject = runtime.block_on(key.resolve(&mut parts, options));
    if !key.is_async() {
        assert_eq!(now.as_ref(), Some(&subject));
    }
    Ok(subject?.map(|subject| subject.to_string()))
}

fn subject(key: Key, parts: Parts) -> Result<String, KeyError> {
    resolved(&key, parts, OnMissingKey::Reject).map(Option::unwrap)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn subject_of(text: &str) -> String {
    let parts = parts(|parts| {
        parts.extensions.insert(ConnectInfo(address(text)));
    });
    subject(Key::ip(), parts).unwrap()
}

#[test]
fn addresses_fold_to_what_one_client_has() {
    assert_eq!(subject_of("192.0.2.7:1"), "192.0.2.7");
    assert_eq!(subject_of("192.0.2.7:1"), subject_of("192.0.2.7:2"));
    assert_eq!(subject_of("[::ffff:192.0.2.7]:1"), "192.0.2.7");
    assert_eq!(subject_of("[2001:db8:1:2::1]:1"), subject_of("[2001:db8:1:2:ffff::9]:1"));
    assert_ne!(subject_of("[2001:db8:1:2::1]:1"), subject_of("[2001:db8:1:3::1]:1"));
    assert_eq!(subject_of("[2001:db8:1:2::1]:1"), "2001:db8:1:2/64");
}

#[test]
fn a_real_address_wins_over_a_mock_and_none_is_an_error() {
    let both = parts(|parts| {
        parts.extensions.insert(MockConnectInfo(address("192.0.2.1:1")));
        parts.extensions.insert(ConnectInfo(address("192.0.2.2:1")));
    });
    assert_eq!(subject(Key::ip(), both).unwrap(), "192.0.2.2");
    assert_eq!(subject(Key::ip(), parts(|_| {})), Err(KeyError::NoConnectInfo));
}

#[test]
fn header_values_are_hashed_and_absent_or_empty_ones_refused() {
    let with = |value: &'static [u8]| {
        let value = HeaderValue::from_bytes(value).unwrap();
        parts(|parts| {
            parts.headers.insert("x-api-key", value);
        })
    };
    let key = Key::header("x-api-key");
    assert_eq!(subject(key.clone(), with(b"secret")).unwrap(), "2bb80d537b1da3e38bd30361aa855686");
    assert_eq!(subject(key.clone(), with(b"\xff\xfe")).unwrap().len(), 32);
    let missing = Err(KeyError::NoHeader("x-api-key"));
    assert_eq!(subject(key.clone(), with(b"")), missing);
    assert_eq!(subject(key, parts(|_| {})), missing);
}

#[test]
fn cookies_are_found_in_any_line_and_hashed() {
    let with = |lines: &'static [&'static str]| {
        parts(|parts| {
            for line in lines {
                parts.headers.append(COOKIE, HeaderValue::from_static(line));
            }
        })
    };
    let key = Key::cookie("sid");
    let secret = Ok("2bb80d537b1da3e38bd30361aa855686".to_owned());
    for lines in [
        &["sid=secret"] as &[_],
        &["a=1; sid=secret; b=2"],
        &["a=1", "xsid=2;sid=secret"],
        &["sid=\"secret\""],
        &["sid=secret; sid = secret ;"],
    ] {
        assert_eq!(subject(key.clone(), with(lines)), secret, "{lines:?}");
    }
    for lines in [&[] as &[_], &["sid="], &["sid"], &["xsid=secret"], &["=; ;"]] {
        assert_eq!(subject(key.clone(), with(lines)), Err(KeyError::NoCookie("sid")), "{lines:?}");
    }
}

#[test]
fn queries_are_decoded() {
    let with = |uri: &'static str| parts(|parts| parts.uri = uri.parse().unwrap());
    let key = Key::query("q");
    assert_eq!(
        subject(key.clone(), with("/?a=1&q=two+words%21&q=two%20words!")).unwrap(),
        "two words!"
    );
    assert_eq!(subject(key.clone(), with("/?q=")).unwrap(), "");
    assert_eq!(subject(key.clone(), with("/?a=q")), Err(KeyError::NoQuery("q")));
    assert_eq!(subject(key, with("/")), Err(KeyError::NoQuery("q")));
}

fn method(parts: &Parts) -> &str {
    parts.method.as_str()
}

async fn method_later(parts: &Parts) -> Option<&str> {
    std::future::ready(parts.method.as_str()).await.into()
}

struct Method;

impl KeyExtractor for Method {
    async fn subject(&self, parts: &Parts) -> Option<Subject> {
        method_later(parts).await.into_subject()
    }
}

fn with_number() -> Parts {
    parts(|parts| {
        parts.extensions.insert(42_u32);
    })
}

#[test]
fn extensions_and_functions_and_tuples() {
    let number = Key::extension::<u32>();
    assert_eq!(subject(number.clone(), with_number()).unwrap(), "42");
    assert_eq!(subject(number.clone(), parts(|_| {})), Err(KeyError::NoExtension("u32")));
    let nothing = Key::function(|_| None::<u32>);
    assert_eq!(subject(nothing, with_number()), Err(KeyError::NoSubject));
    let method = Key::function(|parts| method(parts).to_owned());
    let all = Key::all([method, number, Key::global(), Key::extractor(Method)]);
    assert_eq!(subject(all.clone(), with_number()).unwrap(), "GET|42|*|GET");
    assert!(subject(all, parts(|_| {})).is_err());
}

/// Creates the keys as the attribute does.
#[test]
fn the_path_of_a_function_an_async_one_or_an_extractor_is_a_key() {
    const PARTS: &[KeyPart] = &[
        KeyPart::Function(|parts| resolve(&method, parts)),
        KeyPart::Function(|parts| resolve(&method_later, parts)),
        KeyPart::Function(|parts| resolve(&Method, parts)),
        KeyPart::Function(extension::<u32>),
    ];
    let mut all = with_number();
    let address = AddressOptions::new(&[], Vec::new());
    let hash = SubjectHash::default();
    let on_missing = OnMissingKey::Reject;
    let options = KeyOptions { address: &address, hash: &hash, on_missing };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let subject = runtime.block_on(Key::from_parts(PARTS).resolve(&mut all, options)).unwrap();
    assert_eq!(subject.unwrap().as_str(), "GET|GET|GET|42");
}

#[test]
fn a_missing_key_is_refused_shared_or_exempt() {
    let key = Key::all([Key::global(), Key::header("x-api-key")]);
    let ask = |on_missing| resolved(&key, parts(|_| {}), on_missing);
    assert_eq!(ask(OnMissingKey::Reject), Err(KeyError::NoHeader("x-api-key")));
    assert_eq!(ask(OnMissingKey::Shared), Ok(Some("*|~missing".to_owned())));
    assert_eq!(ask(OnMissingKey::Exempt), Ok(None));
    // A server that does not know the client's address lacks it for every request, so that is
    // always an error.
    for on_missing in [OnMissingKey::Reject, OnMissingKey::Shared, OnMissingKey::Exempt] {
        let asked = resolved(&Key::ip(), parts(|_| {}), on_missing);
        assert_eq!(asked, Err(KeyError::NoConnectInfo));
    }
}
