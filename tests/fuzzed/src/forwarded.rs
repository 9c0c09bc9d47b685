//! `X-Forwarded-For` and `Forwarded`: what a client has written before the entry of a trusted proxy
//! changes nothing.

use std::cell::RefCell;
use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use support::subjects::Subjects;
use tollgate::http::ForwardedHeader::{Forwarded, XForwardedFor};
use tollgate::{HttpOptions, Key};

const PROXY: &str = "10.0.0.1";
const CLIENT: &str = "198.51.100.1";

thread_local! {
    /// Made once, and taken while a request is under way.
    static SUBJECTS: RefCell<Option<[Subjects; 2]>> = const { RefCell::new(None) };
}

fn subjects() -> [Subjects; 2] {
    [XForwardedFor, Forwarded].map(|header| {
        let options = HttpOptions::new().trusted_proxies([PROXY]).unwrap();
        Subjects::new(Key::ip(), options.forwarded_header(header))
    })
}

/// Sends requests with this value in either header, from a proxy that is trusted and from somebody else.
pub fn forwarded(data: &[u8]) {
    if HeaderValue::from_bytes(data).is_err() {
        return;
    }
    let kinds = [("x-forwarded-for", CLIENT.to_owned()), ("forwarded", format!("for={CLIENT}"))];
    let mut subjects = SUBJECTS.take().unwrap_or_else(subjects);
    crate::run(async {
        for (index, (name, entry)) in kinds.into_iter().enumerate() {
            let own = [data, b", ", entry.as_bytes()].concat();
            for (peer, value, expected) in [
                ("203.0.113.5:1", data, Some("203.0.113.5")),
                ("10.0.0.1:1", &own, Some(CLIENT)),
                ("10.0.0.1:1", data, None),
            ] {
                let request =
                    Request::builder().header(name, HeaderValue::from_bytes(value).unwrap());
                let request = request.body(Body::empty()).unwrap();
                let peer: SocketAddr = peer.parse().unwrap();
                let subject = subjects[index].of(peer, request).await;
                if let Some(expected) = expected {
                    assert_eq!(subject, expected, "{name}: {value:?} from {peer}");
                }
                assert!(!subject.is_empty());
            }
        }
    });
    SUBJECTS.set(Some(subjects));
}
