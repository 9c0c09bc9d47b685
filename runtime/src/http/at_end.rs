//! The change of a charge at the end of its request.

use std::sync::Arc;

use axum::response::Response;

use super::refund_if::RefundIf;
use super::success::Success;
use crate::callback::Callback;
use crate::decision::Adjustment;

/// The option of a limit that says what becomes of its charges at the end of a request. A limit has
/// one at most.
#[derive(Clone, Debug)]
pub(super) enum AtEnd {
    /// The charge is refunded, if a condition holds.
    Refund(RefundIf),
    /// The charge is settled at what a function of the user returns for the response. Without a
    /// response it is not called, and the charge stays.
    Settle(SettleFunction),
    /// The charge is settled at what the handler has added to its [`Usage`](super::usage::Usage).
    Usage,
}

/// A function of the user that returns what a request came to.
#[derive(Clone, Debug)]
pub(super) struct SettleFunction(ResponseCost);

type ResponseCost = Callback<fn(&Response) -> u32, dyn Fn(&Response) -> u32 + Send + Sync>;

impl AtEnd {
    /// Creates the option to settle by a plain function.
    pub(super) const fn settle(function: fn(&Response) -> u32) -> Self {
        Self::Settle(SettleFunction(Callback::Plain(function)))
    }

    /// Creates the option to settle by a closure.
    pub(super) fn settle_by(function: impl Fn(&Response) -> u32 + Send + Sync + 'static) -> Self {
        Self::Settle(SettleFunction(Callback::Shared(Arc::new(function))))
    }

    /// Returns the adjustment that is due after the head of this response; `None` if there is none,
    /// or if it is due later.
    pub(super) fn adjustment_after(&self, response: &Response) -> Option<Adjustment> {
        match self {
            Self::Refund(condition) if !condition.holds_after(response) => None,
            Self::Refund(RefundIf::Success) => Some(Adjustment::Forgive),
            Self::Refund(RefundIf::Failure | RefundIf::Function(_)) => Some(Adjustment::Refund),
            Self::Settle(SettleFunction(function)) => {
                Some(Adjustment::Settle(function.call(response)))
            }
            Self::Usage => None,
        }
    }

    /// Returns `true` if the charge is forgiven when the trailers of this response say that the
    /// request has succeeded.
    pub(super) fn forgives_by_trailers(&self, response: &Response) -> bool {
        matches!(self, Self::Refund(RefundIf::Success))
            && Success::of_head(response) == Success::InTrailers
    }

    /// Returns `true` if the charge is refunded when there is no response, or when the response
    /// breaks.
    pub(super) const fn refunds_without_response(&self) -> bool {
        matches!(self, Self::Refund(condition) if condition.holds_without_response())
    }
}
