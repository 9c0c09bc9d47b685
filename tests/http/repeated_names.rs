//! Nobody chooses their subject by sending a name twice: the table of §12.7. Which of two values
//! the application reads is not known, so different values are refused, whatever is done with
//! requests without the key.

use axum::body::Body;
use axum::http::Request;
use support::subjects::Subjects;
use tollgate::http::OnMissingKey;
use tollgate::{HttpOptions, Key};

/// A request: the target, and header fields.
type Asked = (&'static str, &'static [(&'static str, &'static str)]);

fn request((target, fields): Asked) -> Request<Body> {
    let mut request = Request::get(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

/// A key, requests that are one subject because a value is repeated, and requests with different
/// values, with the message about them.
type Row = (Key, &'static [Asked], &'static [Asked], &'static str);

fn table() -> Vec<Row> {
    vec![
        (
            Key::query("q"),
            &[("/?q=a", &[]), ("/?q=a&q=a", &[]), ("/?q=a&x=b&q=%61&%71=a", &[])],
            &[
                ("/?q=a&q=b", &[]),
                ("/?q=b&q=a", &[]),
                ("/?q=a&q=", &[]),
                ("/?q&q=a", &[]),
                ("/?q=a&%71=b", &[]),
                ("/?q=a&q=a&q=b", &[]),
            ],
            "`q` has several values in the query",
        ),
        (
            Key::cookie("sid"),
            &[
                ("/", &[("cookie", "sid=a")]),
                ("/", &[("cookie", "sid=a; sid=a")]),
                ("/", &[("cookie", "sid=a;x=b"), ("cookie", "sid = a ")]),
            ],
            &[
                ("/", &[("cookie", "sid=a; sid=b")]),
                ("/", &[("cookie", "sid=b; sid=a")]),
                ("/", &[("cookie", "sid=a"), ("cookie", "sid=b")]),
                ("/", &[("cookie", "sid=a; sid =b")]),
                ("/", &[("cookie", "sid=a; sid=\"a\"")]),
                ("/", &[("cookie", "sid=; sid=a")]),
                ("/", &[("cookie", "sid=a; sid=")]),
            ],
            "the cookie `sid` has several values",
        ),
        (
            Key::header("x-key"),
            &[
                ("/", &[("x-key", "a")]),
                ("/", &[("x-key", "a"), ("x-key", "a")]),
                ("/", &[("x-key", "a"), ("X-Key", "a")]),
            ],
            &[
                ("/", &[("x-key", "a"), ("x-key", "b")]),
                ("/", &[("x-key", "b"), ("x-key", "a")]),
                ("/", &[("x-key", ""), ("x-key", "a")]),
                ("/", &[("x-key", "a"), ("x-key", "")]),
                ("/", &[("x-key", "a"), ("x-key", "a"), ("x-key", "b")]),
            ],
            "the header `x-key` has several values",
        ),
        (
            Key::header("authorization"),
            &[
                ("/", &[("authorization", "Bearer a")]),
                ("/", &[("authorization", "Bearer a"), ("authorization", "Bearer a")]),
            ],
            &[("/", &[("authorization", "Bearer a"), ("authorization", "Bearer b")])],
            "the header `authorization` has several values",
        ),
        (
            Key::header("Host"),
            &[
                ("/", &[("host", "a.example")]),
                ("/", &[("host", "a.example"), ("host", "a.example")]),
                // An absolute target, or HTTP/2.
                ("http://a.example/", &[("host", "a.example")]),
                ("http://a.example/", &[]),
            ],
            &[
                ("/", &[("host", "a.example"), ("host", "b.example")]),
                ("http://b.example/", &[("host", "a.example")]),
            ],
            "the header `Host` has several values",
        ),
    ]
}

#[tokio::test]
async fn the_table() {
    for (key, same, different, message) in table() {
        for on_missing in [OnMissingKey::Reject, OnMissingKey::Shared, OnMissingKey::Exempt] {
            let missing = Key::header("x-missing");
            let present = Key::function(|parts| parts.method.to_string());
            let keys = [
                ("alone", key.clone()),
                ("first", Key::all([key.clone(), present.clone()])),
                ("last", Key::all([present.clone(), key.clone()])),
                ("after a missing one", Key::all([missing, key.clone()])),
                ("waiting", Key::all([key.clone(), Key::extractor(Later)])),
            ];
            for (place, key) in keys {
                let options = HttpOptions::new().on_missing_key(on_missing);
                let mut subjects = Subjects::new(key, options);
                let case = format!("{message}: {place}, {on_missing:?}");
                let is_refused_anyway =
                    place == "after a missing one" && on_missing == OnMissingKey::Reject;
                let mut seen = Vec::new();
                for asked in same {
                    let (response, subject) = subjects.ask(request(*asked)).await;
                    let is_missing = support::text(response).await.contains("`x-missing`");
                    assert_eq!(is_missing, is_refused_anyway, "{case} {asked:?}");
                    seen.push(subject);
                }
                seen.dedup();
                assert_eq!(seen.len(), 1, "{case}: {seen:?}");
                for asked in different {
                    let (response, subject) = subjects.ask(request(*asked)).await;
                    assert_eq!(response.status(), 400, "{case} {asked:?}");
                    assert_eq!(subject, None, "{case} {asked:?}");
                    let body = support::text(response).await;
                    assert!(is_refused_anyway || body.contains(message), "{case} {asked:?} {body}");
                }
            }
        }
    }
}

struct Later;

impl tollgate::KeyExtractor for Later {
    async fn subject(&self, _: &axum::http::request::Parts) -> Option<tollgate::Subject> {
        std::future::ready(Some("later".into())).await
    }
}
