//! What a client gets instead of the handler's response: problem details (RFC 9457), with the
//! problem types of draft-ietf-httpapi-ratelimit-headers-11 §5.

use std::borrow::Cow;
use std::sync::Once;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use super::fields::{self, quota_names, whole_seconds};
use crate::key::KeyError;
use crate::{Decision, Policy, QuotaState, Unavailable};

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const REDUCED_CAPACITY: &str =
    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
/// RFC 9457 §4.2.1: nothing more to say than the status does.
const BLANK: &str = "about:blank";

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    violated_policies: Vec<Cow<'a, str>>,
}

/// 429: a quota is used up.
pub(crate) fn quota_exceeded(policy: &Policy, decision: &Decision) -> Response {
    let exceeded = || {
        let all = quota_names(policy).zip(policy.quotas()).zip(decision.quotas());
        all.filter(|(_, state)| state.is_exceeded()).map(|(named, _)| named)
    };
    let limits: Vec<String> = exceeded()
        .map(|(_, quota)| format!("{} per {:?}", quota.limit(), quota.period()))
        .collect();
    let limits = limits.join(" and of ");
    let retry_after = decision.retry_after().map(retry_seconds);
    let problem = Problem {
        r#type: QUOTA_EXCEEDED,
        title: "Request cannot be satisfied as assigned quota has been exceeded",
        status: StatusCode::TOO_MANY_REQUESTS.as_u16(),
        detail: match retry_after {
            Some(seconds) => format!("Limit of {limits} reached; retry in {seconds}s."),
            None => format!("This request alone is more than the limit of {limits} allows."),
        },
        violated_policies: exceeded().map(|(name, _)| name).collect(),
    };
    respond(policy, problem, decision.quotas(), retry_after)
}

/// 503: no decision could be had.
pub(crate) fn unavailable(policy: &Policy, unavailable: &Unavailable) -> Response {
    reduced_capacity(policy, Some(retry_seconds(unavailable.retry_after())))
}

/// 503 without end: no decision can be had in a function that is not async.
pub(crate) fn cannot_wait(policy: &Policy) -> Response {
    reduced_capacity(policy, None)
}

fn reduced_capacity(policy: &Policy, retry_after: Option<u64>) -> Response {
    let retry = retry_after.map(|seconds| format!("; retry in {seconds}s")).unwrap_or_default();
    let problem = Problem {
        r#type: REDUCED_CAPACITY,
        title: "Request cannot be satisfied due to temporary server capacity constraints",
        status: StatusCode::SERVICE_UNAVAILABLE.as_u16(),
        detail: format!("The limit of this request cannot be checked{retry}."),
        violated_policies: vec![policy.label().into()],
    };
    respond(policy, problem, &[], retry_after)
}

/// 400 where the client left out what says who it is; 500 where the server does not know.
pub(crate) fn no_subject(policy: &Policy, error: KeyError) -> Response {
    static LOGGED: Once = Once::new();
    let (status, title) = if error.is_clients() {
        (StatusCode::BAD_REQUEST, "Bad Request")
    } else {
        LOGGED.call_once(|| {
            tracing::warn!(policy = policy.name(), "cannot tell whose request it is: {error}");
        });
        (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
    };
    let problem = Problem {
        r#type: BLANK,
        title,
        status: status.as_u16(),
        detail: format!("This request cannot be counted: {error}."),
        violated_policies: Vec::new(),
    };
    respond(policy, problem, &[], None)
}

/// RFC 9110 §10.2.3 counts whole seconds: rounded up, so that a client that waits is admitted,
/// and at least 1, so that none retries at once.
fn retry_seconds(span: Duration) -> u64 {
    whole_seconds(span).max(1)
}

fn respond(
    policy: &Policy,
    problem: Problem<'_>,
    states: &[QuotaState],
    retry_after: Option<u64>,
) -> Response {
    // It holds strings and a number, which always serialize; were it not so, the status would
    // still say what matters.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or_default();
    let headers = response.headers_mut();
    let problem_json = HeaderValue::from_static("application/problem+json");
    headers.insert(header::CONTENT_TYPE, problem_json);
    // RFC 6585 §4: a cache must not store a 429.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    fields::write(headers, policy, states);
    response
}
