//! The record of a request that a single limit has admitted.

use std::ops::Deref;

use axum::http::Extensions;
use axum::response::Response;

use super::granted::{Granted, text};
use super::grants::{Grants, UnfinishedGrants};
use super::limit::HttpLimit;
use crate::Limiter;
use crate::response::HeaderValues;

/// The record of a request that a single limit has admitted, from the check until its response is
/// complete.
pub(super) enum RequestGrant<L: Deref<Target = HttpLimit>> {
    Plain(PlainGrant<L>),
    Full(Box<Grants<L>>),
}

/// The record of a request for which there is no more to do at its end than to add header fields. That
/// of most requests is such a one, and needs no allocation.
pub(super) struct PlainGrant<L> {
    limit: L,
    headers: HeaderValues,
}

impl<L: Deref<Target = HttpLimit>> RequestGrant<L> {
    #[inline(always)]
    pub(super) fn new(limit: L, limiter: &Limiter, granted: Granted) -> Self {
        let Granted { headers: _, decision, overridden, permit, usage, count } = &granted;
        let is_plain = decision.is_none()
            && overridden.is_none()
            && permit.is_none()
            && usage.is_none()
            && count.is_none()
            && limit.at_end.is_none();
        match is_plain {
            true => Self::Plain(PlainGrant { limit, headers: granted.headers }),
            false => Self::Full(Grants::one(limit, limiter, granted)),
        }
    }

    /// Adds to the extensions of a request what its handler and the limits behind this one have to know.
    #[inline]
    pub(super) fn prepare(&mut self, extensions: &mut Extensions) {
        if let Self::Full(grants) = self {
            grants.show(extensions);
            grants.record_counts(extensions);
        }
    }

    /// Ends the record by a response, like [`Grants::finish`].
    pub(super) fn finish(self, response: &mut Response) -> Option<UnfinishedGrants<L>> {
        match self {
            Self::Plain(grant) => {
                grant.finish(response);
                None
            }
            Self::Full(grants) => grants.finish(response),
        }
    }
}

impl<L: Deref<Target = HttpLimit>> PlainGrant<L> {
    pub(super) fn limit(&self) -> &HttpLimit {
        &self.limit
    }

    /// Adds the header fields to the response.
    pub(super) fn finish(self, response: &mut Response) {
        self.headers.add_to(response, text(&self.limit, None));
    }
}
