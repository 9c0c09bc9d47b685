//! The response of a refused call of a function that is not a handler, or of a refused check.

use axum::response::Response;

use crate::global::current_limiter;
use crate::refused_by::RefusedBy;
use crate::response::{
    EffectiveHttpOptions, HeaderStyle, PolicyText, Reason, Refusal, RefusalContext,
};
use crate::{Policy, Quota};

/// The policy of an error that belongs to none.
static NO_POLICY: Policy = Policy::new("", Quota::PLACEHOLDER);

/// Creates the response to a refused call. The options are those of the limiter that was asked. If
/// that is not known, they are those of the scoped limiter, or else of the global one.
pub(crate) fn refuse_call(limit: Option<&RefusedBy>, reason: Reason<'_>) -> Response {
    with_options(limit, |options| refuse_by(options, limit, reason, |refusal| refusal))
}

/// Creates the response to a refused call like [`refuse_call`], as a gRPC status.
#[cfg(feature = "tonic")]
pub(crate) fn refuse_grpc_call(limit: Option<&RefusedBy>, reason: Reason<'_>) -> Response {
    with_options(limit, |options| refuse_by(options, limit, reason, |refusal| refusal.by_grpc()))
}

fn with_options(
    limit: Option<&RefusedBy>,
    answer: impl FnOnce(&EffectiveHttpOptions) -> Response,
) -> Response {
    match limit.and_then(|limit| limit.options.0.downcast_ref()) {
        Some(options) => answer(options),
        None => answer(current_limiter().http()),
    }
}

fn refuse_by(
    options: &EffectiveHttpOptions,
    limit: Option<&RefusedBy>,
    reason: Reason<'_>,
    change: for<'a> fn(Refusal<'a>) -> Refusal<'a>,
) -> Response {
    let policy = limit.map_or(&NO_POLICY, |limit| &limit.policy);
    let text = PolicyText::new(policy);
    let headers = if limit.is_some() { options.headers } else { HeaderStyle::None };
    let context = RefusalContext { options, headers, function: None, passes_limits: true };
    let refusal = Refusal::new(policy, &text, reason, None).described_by(headers);
    context.respond(&change(refusal))
}
