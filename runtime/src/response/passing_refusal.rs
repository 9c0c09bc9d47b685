//! The refusal on its way out, through the limits that had admitted the request.

use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

use super::grpc_status::GrpcStatus;
use super::header_style::LegacyReset;
use super::legacy_headers::LEGACY_LIMIT;
use super::limit_field::{LIMIT, POLICY, limit_field};
use super::limit_state::LimitState;
use super::seconds::told_seconds;
use super::text::number_field;

/// The account of a refusal, which its response carries in its extensions. The limits in front of
/// the one that refused have admitted the request, so they add their own fields to the response, and
/// by this account they know that it is a refusal and when the request succeeds.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassingRefusal {
    /// The time until the same request succeeds, by all limits that the response has passed;
    /// [`Duration::MAX`] if no wait helps.
    wait: Duration,
    /// The value of `Retry-After`; `None` if the field is not the limiter's, but that of a function
    /// of the user, or is not there.
    retry_after: Option<u64>,
}

impl PassingRefusal {
    /// Sets `Retry-After` if the response lacks it, and adds the account to the response if it passes
    /// other limits. `wait` is the time until the same request succeeds; [`Duration::MAX`] if no
    /// wait helps.
    pub(super) fn begin(wait: Duration, passes_limits: bool, response: &mut Response) {
        let mut retry_after = None;
        let headers = response.headers_mut();
        if wait != Duration::MAX && !headers.contains_key(RETRY_AFTER) {
            let seconds = told_seconds(wait);
            headers.insert(RETRY_AFTER, number_field(seconds));
            retry_after = Some(seconds);
        }
        if passes_limits {
            response.extensions_mut().insert(Self { wait, retry_after });
        }
    }

    /// Adds the fields of a limit that had admitted the request. If it would refuse the retry for
    /// longer, it is now the one that decides: it raises `Retry-After`, and is described first.
    pub(super) fn pass(self, state: &LimitState<'_>, reset: LegacyReset, response: &mut Response) {
        let own = state.wait();
        let decides = own > self.wait;
        let wait = own.max(self.wait);
        let headers = response.headers_mut();
        add_policy(state, headers);
        if decides && state.style.has_ietf() {
            // The line of the limit that decides comes first.
            let others: Vec<HeaderValue> = headers.get_all(LIMIT).iter().cloned().collect();
            headers.remove(LIMIT);
            add_state(state, wait, true, headers);
            for other in others {
                headers.append(LIMIT, other);
            }
        } else {
            add_state(state, wait, decides, headers);
        }
        if state.style.has_legacy()
            && (decides || !headers.contains_key(&LEGACY_LIMIT))
            && let Some(legacy) = state.legacy(reset)
        {
            legacy.set(headers);
        }
        if !decides {
            return;
        }
        let is_ours = |seconds: &u64| headers.get(RETRY_AFTER) == Some(&number_field(*seconds));
        let retry_after = self.retry_after.filter(is_ours).map(|_| told_seconds(wait));
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, number_field(seconds));
        }
        if let Some(status) = response.extensions().get::<GrpcStatus>().cloned() {
            status.raise(wait, response);
        }
        response.extensions_mut().insert(Self { wait, retry_after });
    }
}

/// Adds the policy of a limit to a response.
#[inline]
pub(super) fn add_policy(state: &LimitState<'_>, headers: &mut HeaderMap) {
    if let (true, Some(field)) = (state.style.has_ietf(), &state.text.policy_field) {
        headers.append(POLICY, field.clone());
    }
}

/// Adds the state of a limit to a refusal, behind those that are there. The same request succeeds in
/// `wait`, which this limit may decide.
#[inline]
pub(super) fn add_state(
    state: &LimitState<'_>,
    wait: Duration,
    decides: bool,
    headers: &mut HeaderMap,
) {
    if state.style.has_ietf()
        && let Some(field) = limit_field(&state.refusal_items(wait, decides))
    {
        headers.append(LIMIT, field);
    }
}
