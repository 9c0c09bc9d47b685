//! The response to a refused request.

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::response::{IntoResponse as _, Response};

use super::header_style::HeaderStyle;
use super::header_values::HeaderValues;
use super::options::{HttpOptions, RefusalFunction};
use super::problem::{self, Problem};
use super::refusal::{Reason, Refusal};
use crate::Decision;
use crate::key::KeyError;

/// The options in effect for the response to one refusal.
#[derive(Clone, Copy)]
pub(crate) struct RefusalContext<'a> {
    pub(crate) options: &'a HttpOptions,
    pub(crate) headers: HeaderStyle,
    /// The policy's own function for responses. It takes precedence over the limiter's function.
    pub(crate) function: Option<&'a dyn Fn(&Refusal<'_>) -> Response>,
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
            (None, None) => problem::response(refusal.status(), refusal.problem_json()),
        };
        let headers = response.headers_mut();
        // RFC 6585 §4: a cache must not store a 429.
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if let Some(seconds) = refusal.retry_after_seconds() {
            headers.entry(RETRY_AFTER).or_insert_with(|| seconds.into());
        }
        let verdict = refusal.decision().map(Decision::verdict);
        HeaderValues::new(refusal.text, verdict, self.headers, self.options.legacy_reset)
            .add_to(headers, refusal.text);
        response
    }
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
    use crate::response::PolicyText;
    use crate::{Policy, Quota, Unavailable};

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
        let answer = |function| {
            let context =
                RefusalContext { options: &options, headers: HeaderStyle::Ietf, function };
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
