//! The record of an admitted request, from the check until its response is complete.

use std::fmt;
use std::ops::Deref;

use axum::http::Extensions;
use axum::response::Response;
use smallvec::SmallVec;

use super::extractor::RateLimit;
use super::granted::Granted;
use super::limit::HttpLimit;
use super::permit::open_permit;
use super::usage::Usage;
use super::watched_body::{Adjustments, AtBodyEnd};
use crate::Limiter;
use crate::decision::{Adjustment, Receipt};
use crate::limiter::Settling;
use crate::permit::Permit;

/// The limits that have admitted a request, each with the data that is needed to complete the
/// response.
///
/// The record ends with the response, or without one: if it is dropped before that, because of a
/// panic, a timeout or a client that has gone, the charges of limits that refund failures are
/// refunded. Permits are released then, too.
///
/// `L` refers to a limit: a static of a handler, or the limit that the clones of a layer share.
pub(super) struct Grants<L: Deref<Target = HttpLimit>> {
    granted: SmallVec<[(L, Granted); 1]>,
    /// The limiter for refunds; `None` if no charge may be refunded, or after the end.
    limiter: Option<Limiter>,
    /// The permits of the request while it is in flight, which its handler may extract; `None` if it has
    /// none.
    permit: Option<Permit>,
}

impl<L: Deref<Target = HttpLimit>> Grants<L> {
    /// Creates the record for a single limit.
    #[inline]
    pub(super) fn one(limit: L, limiter: &Limiter, granted: Granted) -> Box<Self> {
        let limiter = limit.at_end.is_some().then(|| limiter.clone());
        Box::new(Self { granted: SmallVec::from_buf([(limit, granted)]), limiter, permit: None })
    }

    /// Creates an empty record for the checks of several limits.
    pub(super) fn none(limiter: &Limiter) -> Box<Self> {
        Box::new(Self { granted: SmallVec::new(), limiter: Some(limiter.clone()), permit: None })
    }

    /// Adds a limit that has admitted the request.
    pub(super) fn push(&mut self, limit: L, granted: Granted) {
        self.granted.push((limit, granted));
    }

    /// Records the counts of the request among its extensions, for limits behind these.
    #[inline]
    pub(super) fn record_counts(&self, extensions: &mut Extensions) {
        for (_, granted) in &self.granted {
            granted.record_count(extensions);
        }
    }

    /// Puts a permit among the request's extensions before its head is kept, for limits that depend on the
    /// handler's arguments, one of which it may be.
    pub(super) fn open_permit(&mut self, extensions: &mut Extensions) {
        self.permit.get_or_insert_with(|| open_permit(extensions));
    }

    /// Adds to the request's extensions what the handler's extractors find there: the decisions of
    /// limits that show them, for [`RateLimit`], the [`Usage`] at which a limit settles, and the
    /// [`Permit`] of the request.
    pub(super) fn show(&mut self, extensions: &mut Extensions) {
        for (limit, granted) in &mut self.granted {
            if let Some(given) = granted.permit.take() {
                self.permit.get_or_insert_with(|| open_permit(extensions)).add(given);
            }
            if limit.settles_usage() {
                granted.usage = Some(Usage::of(extensions));
            }
            if let (true, Some(decision)) = (limit.shows, &granted.decision) {
                RateLimit::show(extensions, granted.policy(limit), decision);
            }
        }
    }

    /// Ends the record by a response: adjusts the charges that are due after it, and adds the header
    /// fields. Returns the rest if a refund has to be awaited before that.
    pub(super) fn finish(
        mut self: Box<Self>,
        response: &mut Response,
    ) -> Option<UnfinishedGrants<L>> {
        if self.limiter.is_some() {
            let receipts = self.settle(|limit| limit.adjustment_after(response));
            if !receipts.is_empty() {
                return Some(UnfinishedGrants { grants: self, receipts });
            }
        }
        self.complete(response);
        None
    }

    /// Ends the record by the refusal of a later limit: refunds all charges.
    pub(super) async fn refund_all(mut self: Box<Self>) {
        let receipts = self.settle(|_| Some(Adjustment::Refund));
        if let Some(limiter) = self.limiter.take() {
            let receipts = receipts.into_iter().map(|(_, receipt)| receipt).collect();
            limiter.finish_settlements(receipts).await;
        }
    }

    /// Adjusts the charges of the limits for which `due` returns an adjustment. Returns those for
    /// which the backend has to be awaited, each with the index of its limit.
    fn settle(&mut self, due: impl Fn(&HttpLimit) -> Option<Adjustment>) -> Vec<(usize, Receipt)> {
        let mut receipts = Vec::new();
        let Some(limiter) = &self.limiter else { return receipts };
        for (index, (limit, granted)) in self.granted.iter_mut().enumerate() {
            if let Some(adjustment) = due(limit)
                && let Some(decision) = granted.decision.take()
            {
                let adjustment = match adjustment {
                    // The other limit of the policy settles at what the request came to.
                    Adjustment::Settle(_) if granted.is_counted_again() => Adjustment::Settle(0),
                    adjustment => adjustment,
                };
                match limiter.settle_now(*decision, adjustment) {
                    Settling::Done(Some(verdict)) => granted.describe(limit, limiter, &verdict),
                    Settling::Done(None) => {}
                    Settling::Pending(receipt) => receipts.push((index, *receipt)),
                }
            }
        }
        receipts
    }

    /// Completes the response: adds the header fields, and watches its body for limits that refund
    /// failures, settle at the end, or count what is in flight.
    #[inline]
    fn complete(&mut self, response: &mut Response) {
        for (limit, granted) in &mut self.granted {
            granted.add_headers(limit, response);
        }
        let permit = self.permit.take().filter(|permit| !permit.is_empty());
        let adjustments = self.limiter.take().map(|limiter| {
            let mut due = Adjustments::none(limiter);
            for (limit, mut granted) in std::mem::take(&mut self.granted) {
                due.usage = granted.leave_to_usage(&due.limiter).or(due.usage);
                if limit.refunds_without_response() {
                    due.on_failure.extend(granted.decision);
                } else if limit.forgives_by_trailers(response) {
                    due.on_success.extend(granted.decision);
                }
            }
            due
        });
        if permit.is_some() || adjustments.is_some() {
            AtBodyEnd { adjustments, permit }.watch(response);
        }
    }
}

/// The record of a request whose response waits for refunds.
pub(super) struct UnfinishedGrants<L: Deref<Target = HttpLimit>> {
    grants: Box<Grants<L>>,
    /// The refunds, each with the index of its limit.
    receipts: Vec<(usize, Receipt)>,
}

impl<L: Deref<Target = HttpLimit>> UnfinishedGrants<L> {
    /// Waits for the refunds, and adds the header fields as they are after them.
    pub(super) async fn finish(self, response: &mut Response) {
        let Self { mut grants, receipts } = self;
        if let Some(limiter) = grants.limiter.clone() {
            let (indexes, receipts): (Vec<_>, Vec<_>) = receipts.into_iter().unzip();
            let states = limiter.finish_settlements(receipts).await;
            for (index, state) in indexes.into_iter().zip(states) {
                if let (Some(verdict), Some((limit, granted))) =
                    (state, grants.granted.get_mut(index))
                {
                    granted.describe(limit, &limiter, &verdict);
                }
            }
        }
        grants.complete(response);
    }
}

impl<L: Deref<Target = HttpLimit>> Drop for Grants<L> {
    /// Ends the record without a response.
    fn drop(&mut self) {
        let Some(limiter) = self.limiter.take() else { return };
        for (limit, granted) in &mut self.granted {
            if let Some(usage) = granted.leave_to_usage(&limiter) {
                usage.settle();
            }
            if limit.refunds_without_response()
                && let Some(decision) = granted.decision.take()
            {
                limiter.settle_soon(*decision, Adjustment::Refund);
            }
        }
    }
}

impl<L: Deref<Target = HttpLimit>> fmt::Debug for Grants<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.granted.iter().map(|(limit, _)| limit.policy().name())).finish()
    }
}
