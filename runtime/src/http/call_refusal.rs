//! The response of a refused call of a function that is not a handler.

use axum::response::Response;

use crate::Policy;
use crate::global::current_limiter;
use crate::response::{PolicyText, Reason, Refusal, RefusalContext};

/// Creates the response to a refused call. The options are those of the scoped limiter if there is
/// one, or else of the global limiter.
pub(crate) fn refuse_call(policy: &Policy, reason: Reason<'_>) -> Response {
    let (text, limiter) = (PolicyText::new(policy), current_limiter());
    let options = limiter.http();
    let context =
        RefusalContext { options, headers: options.headers, function: None, passes_limits: true };
    let refusal = Refusal::new(policy, &text, reason, None).described_by(context.headers);
    context.respond(&refusal)
}
