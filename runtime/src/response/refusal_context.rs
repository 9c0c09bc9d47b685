//! The response to a refused request.

use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};

use super::effective_http_options::{EffectiveHttpOptions, RefusalFunction};
use super::grpc_status::GRPC_STATUS;
use super::header_style::HeaderStyle;
use super::limit_state::LimitState;
use super::passing_refusal::{PassingRefusal, add_policy, add_state};
use super::problem::{self, Problem};
use super::refusal::{Reason, Refusal};
use crate::key::KeyError;

/// The options in effect for the response to one refusal.
#[derive(Clone, Copy)]
pub(crate) struct RefusalContext<'a> {
    pub(crate) options: &'a EffectiveHttpOptions,
    pub(crate) headers: HeaderStyle,
    /// The policy's own function for responses. It takes precedence over the limiter's function.
    pub(crate) function: Option<&'a dyn Fn(&Refusal<'_>) -> Response>,
    /// `false` if the response certainly passes no other limit on its way out.
    pub(crate) passes_limits: bool,
}

impl RefusalContext<'_> {
    /// Creates the response to a refusal.
    pub(crate) fn respond(self, refusal: &Refusal<'_>) -> Response {
        if let Reason::NoKey(error) = refusal.reason {
            self.options.log_mistake(refusal.policy().name(), error);
        }
        let limiter_function = self.options.refusal.as_ref().map(RefusalFunction::as_ref);
        let mut response = match (self.function, limiter_function) {
            (Some(function), _) => function(refusal),
            (None, Some(function)) => function(refusal),
            (None, None) => default_response(refusal),
        };
        if refusal.is_grpc_call && !response.headers().contains_key(GRPC_STATUS) {
            // The function has made a response of HTTP, of which no status can be made.
            response = default_response(refusal);
        }
        let headers = response.headers_mut();
        // RFC 6585 §4: a cache must not store a 429.
        if !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        let wait = refusal.retry_after().unwrap_or(Duration::MAX);
        match refusal.reason {
            Reason::QuotaExceeded(_) | Reason::Blocked(_) | Reason::Unavailable(_) => {
                PassingRefusal::begin(wait, self.passes_limits, &mut response);
            }
            // Here nothing was decided, so the limits in front describe themselves as usual.
            Reason::CannotWait | Reason::NoKey(_) => {}
        }
        self.add_fields(refusal, wait, &mut response);
        response
    }

    /// Adds the fields that describe the limit that refused and those behind it. The one that
    /// refuses for the longest time decides: it is described first, and by the legacy fields.
    fn add_fields(self, refusal: &Refusal<'_>, wait: Duration, response: &mut Response) {
        let (headers, reset) = (response.headers_mut(), &self.options.legacy_reset);
        let own = refusal.state(self.headers, reset);
        let deciding = match refusal.behind {
            [] => &own,
            behind => deciding(&own, refusal.reason.wait(), behind),
        };
        let others = || {
            let all = std::iter::once(&own).chain(refusal.behind);
            all.filter(|state| !std::ptr::eq(*state, deciding))
        };
        add_policy(&own, headers);
        for state in refusal.behind {
            add_policy(state, headers);
        }
        add_state(deciding, wait, true, headers);
        if refusal.behind.is_empty() && !own.style.has_legacy() {
            return;
        }
        for state in others() {
            add_state(state, wait, false, headers);
        }
        let has_legacy = |state: &&LimitState<'_>| state.style.has_legacy();
        if let Some(legacy) = std::iter::once(deciding).chain(others()).find(has_legacy)
            && let Some(fields) = legacy.legacy(reset.meaning)
        {
            fields.set(headers);
        }
    }
}

/// Creates the response to a refusal for which the user has no function.
fn default_response(refusal: &Refusal<'_>) -> Response {
    match refusal.grpc_status() {
        Some(status) => status.into_response(),
        None => problem::response(refusal.status(), refusal.problem_json()),
    }
}

/// Returns the limit that refuses the request for the longest time: that of `own`, which refuses it
/// for `wait` (`None`: for ever), or one behind it.
fn deciding<'a>(
    own: &'a LimitState<'a>,
    wait: Option<Duration>,
    behind: &'a [LimitState<'a>],
) -> &'a LimitState<'a> {
    let mut longest = wait.unwrap_or(Duration::MAX);
    let mut deciding = own;
    for state in behind {
        if state.wait() > longest {
            longest = state.wait();
            deciding = state;
        }
    }
    deciding
}

/// Creates the response of the extractor [`ClientAddr`](crate::ClientAddr) if the server does not
/// provide the address. It has the status and the body of a refusal for the same reason, but belongs
/// to no policy, so no function of the user changes it.
pub(crate) fn respond_without_address() -> Response {
    let mut response = Problem::no_key(KeyError::NoConnectInfo).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::response::{PolicyText, WallClocks};
    use crate::{HttpOptions, Policy, Quota, Unavailable};

    #[test]
    fn the_policys_function_comes_first_and_what_it_leaves_out_is_added() {
        let policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));
        let text = PolicyText::new(&policy);
        let unavailable = Unavailable::from(Arc::new(crate::StartError::Unsupported {
            name: String::new(),
            reason: "",
        }));
        let refusal = Refusal::new(&policy, &text, Reason::Unavailable(&unavailable), None);
        let options = HttpOptions::new().refusal(|_: &Refusal<'_>| [("x-by", "limiter")]);
        let options = options.effective(WallClocks::of(crate::SystemClock::new()));
        let answer = |function| {
            let context = RefusalContext {
                options: &options,
                headers: HeaderStyle::Ietf,
                function,
                passes_limits: true,
            };
            let response = context.respond(&refusal);
            let value = |name| {
                response
                    .headers()
                    .get(name)
                    .map(|value: &HeaderValue| value.to_str().unwrap().to_owned())
            };
            (value("x-by"), value("retry-after"), value("cache-control"), value("ratelimit-policy"))
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
