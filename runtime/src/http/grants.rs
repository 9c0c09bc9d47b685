//! The record of an admitted request, from the check until its response is complete.

use std::fmt;
use std::ops::Deref;

use axum::http::Extensions;
use axum::response::Response;
use smallvec::SmallVec;

use super::check::Granted;
use super::extractor::RateLimit;
use super::limit::HttpLimit;
use crate::Limiter;

/// The limits that have admitted a request, each with the data that is needed to complete the
/// response.
///
/// `L` refers to a limit: a static of a handler, or the limit that the clones of a layer share.
pub(super) struct Grants<L> {
    granted: SmallVec<[(L, Granted); 1]>,
    /// The limiter for refunds; `None` if no charge may be refunded.
    limiter: Option<Limiter>,
}

impl<L: Deref<Target = HttpLimit>> Grants<L> {
    /// Creates the record for a single limit.
    #[inline]
    pub(super) fn one(limit: L, limiter: &Limiter, granted: Granted) -> Box<Self> {
        let limiter = limit.refund_if.is_some().then(|| limiter.clone());
        Box::new(Self { granted: SmallVec::from_buf([(limit, granted)]), limiter })
    }

    /// Creates the record for several limits. The `limiter` is needed if a charge may be refunded.
    pub(super) fn many(
        granted: SmallVec<[(L, Granted); 1]>,
        limiter: Option<Limiter>,
    ) -> Box<Self> {
        Box::new(Self { granted, limiter })
    }

    /// Adds the decisions of limits that show them to the request's extensions, where the extractor
    /// [`RateLimit`] finds them.
    pub(super) fn show(&self, extensions: &mut Extensions) {
        for (limit, granted) in &self.granted {
            if let (true, Some(decision)) = (limit.shows, &granted.decision) {
                RateLimit::show(extensions, granted.policy(limit), decision);
            }
        }
    }

    /// Adds the header fields to the response. Returns the record of the limits whose charges have
    /// to be refunded after it; `None` if there are none.
    pub(super) fn finish(mut self: Box<Self>, response: &mut Response) -> Option<Box<Self>> {
        for (limit, granted) in &mut self.granted {
            granted.add_headers(limit, response);
        }
        self.limiter.as_ref()?;
        self.granted.retain(|(limit, _)| limit.refunds_after(response));
        (!self.granted.is_empty()).then_some(self)
    }

    /// Refunds the charges of all limits. A refund that fails is logged, and its charge stays.
    pub(super) async fn refund(self: Box<Self>) {
        let Self { granted, limiter: Some(limiter) } = *self else { return };
        for (_, granted) in granted {
            if let Some(decision) = granted.decision {
                limiter.refund_or_log(*decision).await;
            }
        }
    }
}

impl<L: Deref<Target = HttpLimit>> fmt::Debug for Grants<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.granted.iter().map(|(limit, _)| limit.policy().name())).finish()
    }
}
