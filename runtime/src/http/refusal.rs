//! What a client gets instead of the handler's response: problem details (RFC 9457), with the
//! problem types of draft-ietf-httpapi-ratelimit-headers-11 §5, or what a user's function makes
//! of the refusal.

use std::sync::Once;
use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use super::fields::{QuotaTexts, Texts, whole_seconds};
use super::options::{HeaderStyle, HttpOptions, RefusalFunction};
use super::problem::{self, Problem};
use crate::global::current_limiter;
use crate::key::KeyError;
use crate::{Decision, Policy, QuotaState, Unavailable};

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const QUOTA_EXCEEDED_TITLE: &str =
    "Request cannot be satisfied as assigned quota has been exceeded";
const REDUCED_CAPACITY: &str =
    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
const REDUCED_CAPACITY_TITLE: &str =
    "Request cannot be satisfied due to temporary server capacity constraints";
/// RFC 9457 §4.2.1: nothing more to say than the status does.
const BLANK: &str = "about:blank";

/// Why a request is refused.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Reason<'a> {
    /// A quota is used up: 429.
    QuotaExceeded(&'a Decision),
    /// No decision could be had, and the policy is closed: 503.
    Unavailable(&'a Unavailable),
    /// The limit is on a function that is not async, and the backend would have to wait: 503.
    CannotWait,
    /// It cannot be told whose request it is: 400 if the client left that out, else 500.
    NoKey(KeyError),
}

/// A refusal, for the function that answers it: of a limiter ([`HttpOptions::refusal`]) or of a
/// policy (`refusal = path` in the attribute).
///
/// ```
/// use axum::http::StatusCode;
/// use axum::response::IntoResponse;
/// use tollgate::{Refusal, rate_limit};
///
/// fn slow_down(refusal: &Refusal<'_>) -> impl IntoResponse + use<> {
///     let seconds = refusal.retry_after_seconds().unwrap_or(60);
///     (refusal.status(), format!("Try again in {seconds} seconds.\n"))
/// }
///
/// #[rate_limit(100, per = 60, refusal = self::slow_down)]
/// async fn list_orders() {}
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Refusal<'a> {
    policy: &'a Policy,
    texts: &'a Texts,
    reason: Reason<'a>,
    request: Option<&'a Parts>,
}

/// How a refusal is answered.
#[derive(Clone, Copy)]
pub(crate) struct Answering<'a> {
    pub(crate) options: &'a HttpOptions,
    pub(crate) headers: HeaderStyle,
    /// The policy's own function, which comes before the limiter's.
    pub(crate) function: Option<&'a dyn Fn(&Refusal<'_>) -> Response>,
}

impl<'a> Refusal<'a> {
    pub(crate) fn new(
        policy: &'a Policy,
        texts: &'a Texts,
        reason: Reason<'a>,
        request: Option<&'a Parts>,
    ) -> Self {
        Self { policy, texts, reason, request }
    }

    /// The policy that refuses.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.policy
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason<'_> {
        self.reason
    }

    /// The decision that it is; `None` if there was none.
    #[must_use]
    pub fn decision(&self) -> Option<&Decision> {
        match self.reason {
            Reason::QuotaExceeded(decision) => Some(decision),
            _ => None,
        }
    }

    /// The request; `None` if a function was limited that is no handler.
    #[must_use]
    pub fn request(&self) -> Option<&Parts> {
        self.request
    }

    /// The status that goes with the reason.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.reason {
            Reason::QuotaExceeded(_) => StatusCode::TOO_MANY_REQUESTS,
            Reason::Unavailable(_) | Reason::CannotWait => StatusCode::SERVICE_UNAVAILABLE,
            Reason::NoKey(error) if error.is_clients() => StatusCode::BAD_REQUEST,
            Reason::NoKey(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What `Retry-After` says. RFC 9110 §10.2.3 counts whole seconds: rounded up, so that a
    /// client that waits is admitted, and at least 1, so that none retries at once. `None` if
    /// waiting does not help.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let span: Duration = match self.reason {
            Reason::QuotaExceeded(decision) => decision.retry_after()?,
            Reason::Unavailable(unavailable) => unavailable.retry_after(),
            Reason::CannotWait | Reason::NoKey(_) => return None,
        };
        Some(whole_seconds(span).max(1))
    }

    /// The problem details that are sent if no function says otherwise.
    pub fn problem(&self) -> Problem {
        let (type_uri, title, policies) = match self.reason {
            Reason::QuotaExceeded(_) => {
                let names = self.exceeded().map(|texts| texts.name.clone());
                (QUOTA_EXCEEDED, QUOTA_EXCEEDED_TITLE, names.collect())
            }
            Reason::Unavailable(_) | Reason::CannotWait => {
                let label = self.policy.label().to_owned();
                (REDUCED_CAPACITY, REDUCED_CAPACITY_TITLE, vec![label])
            }
            Reason::NoKey(_) => {
                (BLANK, self.status().canonical_reason().unwrap_or_default(), Vec::new())
            }
        };
        let mut detail = Vec::new();
        self.push_detail(&mut detail);
        let detail = String::from_utf8(detail).unwrap_or_default();
        Problem::new(self.status(), type_uri, title, detail, policies)
    }

    /// The quotas that refused.
    fn exceeded(&self) -> impl Iterator<Item = &QuotaTexts> {
        let states = self.decision().map(Decision::quotas).unwrap_or_default();
        let both = self.texts.quotas.iter().zip(states);
        both.filter(|(_, state)| QuotaState::is_exceeded(state)).map(|(texts, _)| texts)
    }

    fn push_detail(&self, detail: &mut Vec<u8>) {
        let mut push = |text: &str| detail.extend_from_slice(text.as_bytes());
        let retry_after = self.retry_after_seconds();
        match self.reason {
            Reason::QuotaExceeded(_) => {
                push(match retry_after {
                    Some(_) => "Limit of ",
                    None => "This request alone is more than the limit of ",
                });
                for (index, quota) in self.exceeded().enumerate() {
                    if index > 0 {
                        push(" and of ");
                    }
                    push(&quota.text);
                }
                push(if retry_after.is_some() { " reached" } else { " allows" });
            }
            Reason::Unavailable(_) | Reason::CannotWait => {
                push("The limit of this request cannot be checked");
            }
            Reason::NoKey(error) => push(&format!("This request cannot be counted: {error}")),
        }
        if let Some(seconds) = retry_after {
            push("; retry in ");
            push(itoa::Buffer::new().format(seconds));
            push("s");
        }
        push(".");
    }

    /// What [`problem`](Self::problem) is as JSON. It is written straight from texts that are
    /// at hand, so that a refusal costs no more than what it refuses.
    fn problem_json(&self) -> Vec<u8> {
        let (head, names) = match self.reason {
            Reason::QuotaExceeded(_) => (QUOTA_EXCEEDED_HEAD, true),
            Reason::Unavailable(_) | Reason::CannotWait => (REDUCED_CAPACITY_HEAD, false),
            // What a header is called may need escapes.
            Reason::NoKey(_) => return self.problem().to_json().into_bytes(),
        };
        let mut json = Vec::with_capacity(512);
        json.extend_from_slice(head.as_bytes());
        self.push_detail(&mut json);
        json.extend_from_slice(b"\"");
        let mut separator: &[u8] = b",\"violated-policies\":[";
        let mut push = |name: &str| {
            json.extend_from_slice(separator);
            json.extend_from_slice(name.as_bytes());
            separator = b",";
        };
        if names {
            self.exceeded().for_each(|texts| push(&texts.name_json));
        } else {
            push(&self.texts.label_json);
        }
        if separator == b"," {
            json.extend_from_slice(b"]");
        }
        json.extend_from_slice(b"}");
        json
    }

    /// The response.
    pub(crate) fn answer(&self, how: Answering<'_>) -> Response {
        self.log();
        let limiters = how.options.refusal.as_ref().map(RefusalFunction::as_ref);
        let mut response = match (how.function, limiters) {
            (Some(function), _) => function(self),
            (None, Some(function)) => function(self),
            (None, None) => problem::response(self.status(), self.problem_json()),
        };
        let headers = response.headers_mut();
        // RFC 6585 §4: a cache must not store a 429.
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_seconds() {
            headers.entry(RETRY_AFTER).or_insert_with(|| seconds.into());
        }
        let reset = how.options.legacy_reset;
        self.texts.add(
            headers,
            self.texts.write(self.decision().map(Decision::verdict), how.headers, reset),
        );
        response
    }

    /// Says once what is wrong with the server.
    fn log(&self) {
        static NO_ADDRESS: Once = Once::new();
        static NO_KEY: Once = Once::new();
        let Reason::NoKey(error) = self.reason else { return };
        let once = match error {
            KeyError::NoConnectInfo => &NO_ADDRESS,
            error if error.is_clients() => return,
            _ => &NO_KEY,
        };
        once.call_once(|| {
            let policy = self.policy.name();
            tracing::warn!(policy, "cannot tell whose request it is: {error}");
        });
    }
}

/// The response to a call of a function that is no handler's own, by the scoped or the global
/// limiter.
pub(crate) fn refuse_call(policy: &Policy, reason: Reason<'_>) -> Response {
    let (texts, limiter) = (Texts::new(policy), current_limiter());
    let options = limiter.http();
    let how = Answering { options, headers: options.headers, function: None };
    Refusal::new(policy, &texts, reason, None).answer(how)
}

/// The body up to what the detail says: see the test for what it has to be.
const QUOTA_EXCEEDED_HEAD: &str = "{\"type\":\"https://iana.org/assignments/http-problem-types\
    #quota-exceeded\",\"title\":\"Request cannot be satisfied as assigned quota has been \
    exceeded\",\"status\":429,\"detail\":\"";
const REDUCED_CAPACITY_HEAD: &str = "{\"type\":\"https://iana.org/assignments/http-problem-types\
    #temporary-reduced-capacity\",\"title\":\"Request cannot be satisfied due to temporary \
    server capacity constraints\",\"status\":503,\"detail\":\"";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::Verdict;
    use crate::{BackendError, Outcome, Quota};

    proptest! {
        /// The quick way and the changeable one write the same.
        #[test]
        fn the_body_is_the_problem(
            label in any::<String>(),
            exceeded in any::<[bool; 2]>(),
            retry_after in prop::option::of(0_u64..100_000_000),
        ) {
            let quota = |secs| Quota::new(7, Duration::from_secs(secs));
            let policy = Policy::named(label, quota(1)).and(quota(60));
            let texts = Texts::new(&policy);
            let retry_after = retry_after.map(Duration::from_micros);
            let outcome = match retry_after {
                Some(retry_after) => Outcome::Refused { retry_after },
                None => Outcome::Never,
            };
            let mut verdict = Verdict::new(outcome, 0);
            for exceeded in exceeded {
                verdict.push(QuotaState::new(exceeded, 0, Duration::ZERO, Duration::ZERO));
            }
            let decision = Decision::without_receipt(verdict);
            let unavailable = Unavailable::from(BackendError::unknown("down"));
            for reason in [
                Reason::QuotaExceeded(&decision),
                Reason::Unavailable(&unavailable),
                Reason::CannotWait,
                Reason::NoKey(KeyError::NoQuery("\"")),
            ] {
                let refusal = Refusal::new(&policy, &texts, reason, None);
                let json = String::from_utf8(refusal.problem_json()).unwrap();
                prop_assert_eq!(&json, &refusal.problem().to_json());
                prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{}", json);
            }
        }
    }

    #[test]
    fn a_problem_can_be_changed() {
        let policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));
        let texts = Texts::new(&policy);
        let refusal = Refusal::new(&policy, &texts, Reason::CannotWait, None);
        let problem = refusal.problem().type_uri("urn:x").title("No").detail("\"slow\"");
        let problem = problem.instance("urn:1").status(StatusCode::IM_A_TEAPOT).with("más", "\n");
        let expected = r#"{"type":"urn:x","title":"No","status":418,"detail":"\"slow\"","instance":"urn:1","violated-policies":["p"],"más":"\n"}"#;
        assert_eq!(problem.to_json(), expected);
        assert!(!problem.without_policies().to_json().contains("violated"));
    }

    #[test]
    fn the_policys_function_comes_first_and_what_it_leaves_out_is_added() {
        let policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));
        let texts = Texts::new(&policy);
        let unavailable = Unavailable::from(Arc::new(crate::StartError::Unsupported {
            name: String::new(),
            reason: "",
        }));
        let refusal = Refusal::new(&policy, &texts, Reason::Unavailable(&unavailable), None);
        let options = HttpOptions::new().refusal(|_: &Refusal<'_>| [("x-by", "limiter")]);
        let answer = |function| {
            let how = Answering { options: &options, headers: HeaderStyle::Ietf, function };
            let response = refusal.answer(how);
            let text = |name| {
                response
                    .headers()
                    .get(name)
                    .map(|value: &HeaderValue| value.to_str().unwrap().to_owned())
            };
            (text("x-by"), text("retry-after"), text("cache-control"), text("ratelimit-policy"))
        };
        let some = |text: &str| Some(text.to_owned());
        let field = some("\"p\";q=1;w=1");
        let expected = (some("limiter"), some("1"), some("no-store"), field.clone());
        assert_eq!(answer(None), expected);
        let own = |_: &Refusal<'_>| {
            let mut response = Response::default();
            response.headers_mut().insert("retry-after", 7.into());
            response.headers_mut().insert("cache-control", HeaderValue::from_static("private"));
            response
        };
        assert_eq!(answer(Some(&own)), (None, some("7"), some("private"), field));
    }
}
