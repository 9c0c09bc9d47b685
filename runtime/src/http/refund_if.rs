//! The condition under which a charge is refunded after its request.

use std::sync::Arc;

use axum::response::Response;

use super::success::Success;
use crate::callback::Callback;

/// The condition under which a request's charge is refunded.
#[derive(Clone, Debug)]
pub enum RefundIf {
    /// The response is an error of the client (4xx) or of the server (5xx) or has a gRPC status that
    /// is not `OK`, its body breaks, or there is no response at all.
    Failure,
    /// The response is no error.
    Success,
    /// A function of the user returns `true` for the response. Without a response it is not called,
    /// and the charge stays.
    Function(Condition),
}

/// A function of the user that decides about a response.
#[derive(Clone, Debug)]
pub struct Condition(ResponseCallback);

type ResponseCallback = Callback<fn(&Response) -> bool, dyn Fn(&Response) -> bool + Send + Sync>;

impl RefundIf {
    /// Creates the condition that a plain function decides.
    #[must_use]
    pub const fn function(function: fn(&Response) -> bool) -> Self {
        Self::Function(Condition(Callback::Plain(function)))
    }

    /// Creates the condition that a closure decides.
    pub(super) fn closure(function: impl Fn(&Response) -> bool + Send + Sync + 'static) -> Self {
        Self::Function(Condition(Callback::Shared(Arc::new(function))))
    }

    /// Returns `true` if the charge is refunded after this response.
    pub(super) fn holds_after(&self, response: &Response) -> bool {
        match self {
            Self::Failure => Success::of_head(response) == Success::No,
            Self::Success => Success::of_head(response) == Success::Yes,
            Self::Function(Condition(function)) => function.call(response),
        }
    }

    /// Returns `true` if the charge is refunded when there is no response, or when the response
    /// breaks.
    pub(super) const fn holds_without_response(&self) -> bool {
        matches!(self, Self::Failure)
    }
}
