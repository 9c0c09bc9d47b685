//! Helpers for tests of limited handlers.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use tower_service::Service;

use crate::Limiter;

/// The default address of a client, one of those reserved for documentation (RFC 5737).
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// A client that sends requests to a router in this process, without a socket or a server. The
/// requests come from the client's own address.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use axum::{Router, routing::get};
/// use tollgate::{rate_limit, testing};
///
/// #[rate_limit(1, per = minute)]
/// async fn hello() -> &'static str { "hello" }
///
/// let (limiter, _clock) = testing::limiter();
/// let alice = testing::Client::new(Router::new().route("/", get(hello)), &limiter);
/// testing::assert_allowed(&alice.get("/").await);
/// testing::assert_refused(&alice.get("/").await);
/// testing::assert_allowed(&alice.from([198, 51, 100, 7]).get("/").await);
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    router: Router,
    address: SocketAddr,
}

impl Client {
    /// Creates a client of `router`. The router's annotated handlers and layers use `limiter`.
    #[must_use]
    pub fn new(router: Router, limiter: &Limiter) -> Self {
        Self { router: router.layer(limiter.layer()), address: (ADDRESS, 4711).into() }
    }

    /// Returns a client of the same router that has this address.
    #[must_use]
    pub fn from(&self, address: impl Into<IpAddr>) -> Self {
        let address = SocketAddr::new(address.into(), self.address.port());
        Self { router: self.router.clone(), address }
    }

    /// Sends a `GET` request for this path, and returns the response.
    pub async fn get(&self, path: &str) -> Response {
        let mut request = Request::new(Body::empty());
        // An invalid path is replaced by `/`.
        *request.uri_mut() = path.parse().unwrap_or_default();
        self.send(request).await
    }

    /// Sends a request, and returns the response.
    ///
    /// Like a server, it puts the client's address into the request's extensions, as
    /// `ConnectInfo<SocketAddr>`. A request that already has one keeps it.
    pub async fn send(&self, request: Request<Body>) -> Response {
        let mut request = request;
        request.extensions_mut().get_or_insert_with(|| ConnectInfo(self.address));
        let mut router = self.router.clone().layer(MockConnectInfo(self.address));
        let Ok(()) =
            poll_fn(|context| <Router as Service<Request<Body>>>::poll_ready(&mut router, context))
                .await;
        let Ok(response) = router.call(request).await;
        response
    }
}

/// Asserts that no limit has refused the request. The response may still be another error.
///
/// # Panics
///
/// If the status of the response is 429 or 503.
#[track_caller]
pub fn assert_allowed(response: &Response) {
    let status = response.status();
    let refused = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    assert!(!refused, "a limit has refused the request: {status}, {:?}", response.headers());
}

/// Asserts that a limit has refused the request. Returns the time in `Retry-After`, or zero if the
/// response has no such field.
///
/// # Panics
///
/// If the status of the response is not 429.
#[track_caller]
pub fn assert_refused(response: &Response) -> Duration {
    let status = response.status();
    let refused = status == StatusCode::TOO_MANY_REQUESTS;
    assert!(refused, "no limit has refused the request: {status}, {:?}", response.headers());
    let seconds = response.headers().get(header::RETRY_AFTER);
    let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or_default())
}

/// Asserts that the response reports `expected` remaining units for `quota`. The name of the quota
/// is that of the function or of the policy. If the policy has several quotas, the period is
/// appended (`"search-60s"`).
///
/// # Panics
///
/// If the response reports another number for the quota, or none.
#[track_caller]
pub fn assert_remaining(response: &Response, quota: &str, expected: u32) {
    let found = remaining(response.headers(), quota);
    assert!(
        found == Some(expected),
        "{found:?} and not {expected} remain of {quota:?}: {:?}",
        response.headers()
    );
}

/// Returns the remaining units of a quota from the field `RateLimit` as this library formats it:
/// `"name";r=50;t=30, …`. `None` if the field does not contain the quota.
fn remaining(headers: &HeaderMap, quota: &str) -> Option<u32> {
    let name = format!("\"{}\";r=", quota.replace('\\', "\\\\").replace('"', "\\\""));
    headers.get_all("ratelimit").iter().find_map(|line| {
        let line = line.to_str().ok()?;
        // Excludes matches within the names of other quotas.
        let at =
            line.match_indices(&name).find(|(at, _)| *at == 0 || line[..*at].ends_with(", "))?;
        let rest = &line[at.0 + name.len()..];
        let end = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_remains_is_read_of_any_line() {
        let mut headers = HeaderMap::new();
        for line in [r#""a";r=1;t=5, "b";r=20"#, r#""c \"d\"";r=300;t=2"#] {
            headers.append("ratelimit", HeaderValue::from_static(line));
        }
        let read = ["a", "b", "c \"d\"", "d", "e"].map(|name| remaining(&headers, name));
        assert_eq!(read, [Some(1), Some(20), Some(300), None, None]);
    }

    fn with(status: StatusCode) -> Response {
        let mut response = Response::default();
        *response.status_mut() = status;
        response
    }

    #[test]
    fn what_holds_is_asserted() {
        assert_allowed(&with(StatusCode::NOT_FOUND));
        let mut refused = with(StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(assert_refused(&refused), Duration::ZERO);
        refused.headers_mut().insert(header::RETRY_AFTER, 7.into());
        assert_eq!(assert_refused(&refused), Duration::from_secs(7));
    }

    #[test]
    #[should_panic(expected = "a limit has refused the request: 429")]
    fn a_refusal_is_not_allowed() {
        assert_allowed(&with(StatusCode::TOO_MANY_REQUESTS));
    }

    #[test]
    #[should_panic(expected = "no limit has refused the request: 503")]
    fn an_outage_is_no_refusal() {
        assert_refused(&with(StatusCode::SERVICE_UNAVAILABLE));
    }

    #[test]
    #[should_panic(expected = "None and not 1 remain of \"a\"")]
    fn what_is_not_said_does_not_remain() {
        assert_remaining(&with(StatusCode::OK), "a", 1);
    }
}
