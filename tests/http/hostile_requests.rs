//! Whatever stands in headers and paths: no panic, no invalid header, no unbounded subject.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri};
use sfv::{List, Parser};
use support::scaled;
use support::subjects::Subjects;
use tollgate::http::{ForwardedHeader, HeaderStyle};
use tollgate::{HttpOptions, Key};

/// xorshift64*: quick, and the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    /// Bytes of any kind and length, or what looks like the real thing, cut and mixed.
    fn bytes(&mut self) -> Vec<u8> {
        const PIECES: &[&[u8]] = &[
            b"sid=",
            b"a=1; ",
            b"; ",
            b"for=",
            b"\"",
            b"[2001:db8::1]",
            b":80",
            b", ",
            b",",
            b"192.0.2.1",
            b"10.0.0.1",
            b"unknown",
            b"\\",
            b"%",
            b"%00",
            b"%ff",
            b"q=",
            b"&",
            b"=",
            b"+",
            b"~",
            b"|",
            b"\xff",
            b"\xc3\xa9",
            b"\t",
            b" ",
            b"::ffff:",
            b"Bearer ",
            b"://",
            b"#",
            b"?",
            b"/",
            b"..",
            b"{}",
        ];
        let mut bytes = Vec::new();
        match self.below(8) {
            0 => {}
            1 => bytes.extend((0..self.below(40)).map(|_| self.0 as u8)),
            2 => {
                let len = self.below(40);
                bytes.extend((0..len).map(|_| self.next() as u8));
            }
            // More than is kept of any subject.
            3 if self.below(8) == 0 => {
                let len = self.below(8_000);
                bytes.extend((0..len).map(|_| self.next() as u8 | 0x20));
            }
            _ => {
                for _ in 0..self.below(8) {
                    bytes.extend_from_slice(self.pick(PIECES));
                }
            }
        }
        bytes
    }

    fn header(&mut self) -> HeaderValue {
        let mut bytes = self.bytes();
        bytes.retain(|byte| HeaderValue::from_bytes(&[*byte]).is_ok());
        HeaderValue::from_bytes(&bytes).unwrap()
    }

    /// Whatever is taken for a URI, or next to it.
    fn uri(&mut self) -> Uri {
        let mut bytes = b"/".to_vec();
        bytes.extend(self.bytes());
        if self.below(2) == 0 {
            bytes.extend(b"?q=");
            bytes.extend(self.bytes());
        }
        if let Ok(uri) = Uri::from_maybe_shared(bytes.clone()) {
            return uri;
        }
        bytes.retain(|byte| matches!(byte, b'!'..=b'~') && !b"\"<>\\^`{|}#".contains(byte));
        Uri::from_maybe_shared(bytes).unwrap_or_default()
    }

    fn request(&mut self) -> Request<Body> {
        const HEADERS: &[&str] =
            &["x-api-key", "cookie", "x-forwarded-for", "forwarded", "host", "x-other"];
        const PEERS: &[&str] = &["10.0.0.1:1", "[fd00::1]:1", "203.0.113.5:1", "[2001:db8::1]:1"];
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = self.uri();
        for _ in 0..self.below(6) {
            let value = self.header();
            request.headers_mut().append(self.pick(HEADERS), value);
        }
        let peer: SocketAddr = self.pick(PEERS).parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    }
}

fn host(parts: &axum::http::request::Parts) -> Option<String> {
    let host = parts.headers.get("host")?;
    Some(String::from_utf8_lossy(host.as_bytes()).into_owned())
}

fn keys() -> Vec<Subjects> {
    let trusting = |header| {
        HttpOptions::new()
            .trusted_proxies(["10.0.0.0/8", "fd00::/8"])
            .unwrap()
            .forwarded_header(header)
            .headers(HeaderStyle::Both)
    };
    let plain = |key| Subjects::new(key, HttpOptions::new());
    vec![
        Subjects::new(Key::ip(), trusting(ForwardedHeader::XForwardedFor)),
        Subjects::new(Key::ip(), trusting(ForwardedHeader::Forwarded)),
        plain(Key::header("x-api-key")),
        plain(Key::cookie("sid")),
        plain(Key::query("q")),
        plain(Key::function(host)),
        plain(Key::all([Key::query("q"), Key::function(host), Key::header("x-api-key")])),
        Subjects::on_routes(Key::path_param("id")),
        Subjects::on_routes(Key::all([Key::ip(), Key::path_param("id")])),
    ]
}

/// No client can make the server say that it is at fault.
fn check(response: &Response<Body>, subject: Option<&str>) {
    let refused = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_REQUEST,
        // There is no such route.
        StatusCode::NOT_FOUND,
    ];
    assert!(refused.contains(&response.status()), "{}", response.status());
    assert_eq!(subject.is_some(), response.status() == StatusCode::TOO_MANY_REQUESTS);
    if let Some(subject) = subject {
        assert!(subject.len() <= 128, "{subject:?}");
        assert!(subject.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{subject:?}");
    }
    for (name, value) in response.headers() {
        let value = value.to_str().unwrap_or_else(|_| panic!("{name}: {value:?}"));
        if name.as_str().starts_with("ratelimit") {
            assert!(Parser::new(value).parse::<List>().is_ok(), "{name}: {value}");
        }
    }
}

async fn body(response: Response<Body>) {
    let json = response.headers().get("content-type").is_some();
    let text = support::text(response).await;
    if json {
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
    }
}

#[tokio::test]
async fn nothing_that_clients_send_does_harm() {
    let mut random = Random(0x0dd_ba11);
    let mut keys = keys();
    let mut subjects = 0;
    let count = scaled(20_000, 1_000_000);
    for _ in 0..count {
        let request = random.request();
        let key = random.below(keys.len());
        let (response, subject) = keys[key].ask(request).await;
        check(&response, subject.as_deref());
        subjects += u32::from(subject.is_some());
        body(response).await;
    }
    assert!(subjects > count / 4, "only {subjects} of {count} requests had a subject");
}

/// Names come from code, but also from configuration.
#[tokio::test]
async fn no_name_makes_an_invalid_response() {
    let mut random = Random(0xca11_ab1e);
    for _ in 0..scaled(2_000, 100_000) {
        let name = String::from_utf8_lossy(&random.bytes()).into_owned();
        let mut subjects = Subjects::named(&name);
        let (response, subject) = subjects.ask(random.request()).await;
        check(&response, subject.as_deref());
        let field = response.headers().get("ratelimit-policy").unwrap();
        assert!(field.as_bytes().ends_with(b"\";q=1;w=1"), "{field:?}");
        body(response).await;
    }
}
