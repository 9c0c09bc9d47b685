//! The grants of an admitted request, from the check until its response is complete.

use std::fmt;
use std::ops::Deref;

use axum::http::Extensions;
use axum::response::Response;
use smallvec::SmallVec;

use super::check::Granted;
use super::extractor::RateLimit;
use super::limit::HttpLimit;
use crate::Limiter;

/// The limits that have admitted a request, each with what it granted.
///
/// `L` refers to a limit: a static of a handler, or the limit that the clones of a layer share.
pub(super) struct Grants<L> {
    granted: SmallVec<[(L, Granted); 1]>,
    /// Present if a grant may be refunded after the response.
    limiter: Option<Limiter>,
}

impl<L: Deref<Target = HttpLimit>> Grants<L> {
    /// Holds the grant of a single limit.
    #[inline]
    pub(super) fn one(limit: L, limiter: &Limiter, granted: Granted) -> Box<Self> {
        let limiter = limit.refund_if.is_some().then(|| limiter.clone());
        Box::new(Self { granted: SmallVec::from_buf([(limit, granted)]), limiter })
    }

    /// Holds the grants of several limits; the `limiter` is needed if one may be refunded.
    pub(super) fn many(
        granted: SmallVec<[(L, Granted); 1]>,
        limiter: Option<Limiter>,
    ) -> Box<Self> {
        Box::new(Self { granted, limiter })
    }

    /// Makes the decisions visible to handlers that look at them.
    pub(super) fn show(&self, extensions: &mut Extensions) {
        for (limit, granted) in &self.granted {
            if let (true, Some(decision)) = (limit.shows, &granted.decision) {
                RateLimit::show(extensions, granted.policy(limit), decision);
            }
        }
    }

    /// Completes the response. Returns the grants that have to be refunded after it.
    pub(super) fn finish(mut self: Box<Self>, response: &mut Response) -> Option<Box<Self>> {
        for (limit, granted) in &mut self.granted {
            granted.add_headers(limit, response);
        }
        self.limiter.as_ref()?;
        self.granted.retain(|(limit, _)| limit.refunds_after(response));
        (!self.granted.is_empty()).then_some(self)
    }

    /// Refunds all grants, as far as possible: where the backend cannot be reached now, the charge
    /// stays.
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
