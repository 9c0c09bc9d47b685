//! The result of a check that has admitted a request.

use std::sync::Arc;

use axum::http::Extensions;
use axum::response::Response;

use super::counted::{self, Count};
use super::limit::HttpLimit;
use super::usage::{Usage, UsageShare};
use crate::overrides::Overridden;
use crate::permit::Permit;
use crate::response::{HeaderStyle, HeaderValues, PolicyText};
use crate::verdict::Verdict;
use crate::{Decision, Limiter, Policy};

/// The data of an admitted request that is needed to complete its response.
pub(super) struct Granted {
    pub(super) headers: HeaderValues,
    /// The decision; `None` unless the checker had `keeps_decision`, which is rare.
    pub(super) decision: Option<Box<Decision>>,
    /// The policy with its override applied; `None` if it has no override.
    pub(super) overridden: Option<Arc<Overridden>>,
    /// The permit of the request while it is in flight; `None` if it has none.
    pub(super) permit: Option<Permit>,
    /// The units at which the charge is settled; `None` if the limit does not settle by them.
    pub(super) usage: Option<Usage>,
    /// The count of the request, for limits behind this one; `None` if it need not be recorded.
    pub(super) count: Option<Count>,
}

impl Granted {
    /// Returns the policy that admitted the request.
    pub(super) fn policy<'a>(&'a self, limit: &'a HttpLimit) -> &'a Policy {
        self.overridden.as_ref().map_or_else(|| limit.policy(), |overridden| overridden.policy())
    }

    /// Adds the header fields to the response.
    pub(super) fn add_headers(&mut self, limit: &HttpLimit, response: &mut Response) {
        if let Some(count) = self.count {
            if counted::is_described(response, count.id) {
                return;
            }
            if count.is_again {
                counted::set_described(response, count.id);
            }
        }
        let headers = std::mem::replace(&mut self.headers, HeaderValues::NOTHING);
        headers.add_to(response, text(limit, self.overridden.as_ref()));
    }

    /// Replaces the header fields by those of a later verdict.
    pub(super) fn describe(&mut self, limit: &HttpLimit, limiter: &Limiter, verdict: &Verdict) {
        let is_shadow = self.policy(limit).is_shadow();
        self.headers = fields(limit, limiter, is_shadow, verdict);
    }

    /// Returns `true` if another limit of the same policy has counted the request before.
    pub(super) fn is_counted_again(&self) -> bool {
        self.count.is_some_and(|count| count.is_again)
    }

    /// Leaves the charge to the request's usage, which settles it.
    pub(super) fn leave_to_usage(&mut self, limiter: &Limiter) -> Option<Usage> {
        let usage = self.usage.take()?;
        let share = if self.is_counted_again() { UsageShare::None } else { UsageShare::All };
        if let Some(decision) = self.decision.take() {
            usage.push(limiter, *decision, share);
        }
        Some(usage)
    }

    /// Records the count among the request's extensions, for the limits behind this one.
    pub(super) fn record_count(&self, extensions: &mut Extensions) {
        if let Some(count) = self.count {
            count.record(extensions);
        }
    }
}

/// Returns the header fields of an admitted request. A limit in shadow mode adds none, because it
/// refuses no request.
#[inline]
pub(super) fn fields(
    limit: &HttpLimit,
    limiter: &Limiter,
    is_shadow: bool,
    verdict: &Verdict,
) -> HeaderValues {
    if is_shadow {
        return HeaderValues::NOTHING;
    }
    HeaderValues::new(verdict, header_style(limit, limiter), &limiter.http().legacy_reset)
}

pub(super) fn header_style(limit: &HttpLimit, limiter: &Limiter) -> HeaderStyle {
    limit.headers.unwrap_or(limiter.http().headers)
}

/// Returns the texts of the policy in effect, for header fields and refusals.
pub(super) fn text<'a>(
    limit: &'a HttpLimit,
    overridden: Option<&'a Arc<Overridden>>,
) -> &'a PolicyText {
    match overridden {
        Some(overridden) => overridden.headers().text(overridden.policy()),
        None => limit.header_cache.text(limit.policy()),
    }
}
