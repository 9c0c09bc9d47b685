//! The units that a request has come to, as its handler counts them.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;

use crate::decision::Adjustment;
use crate::{Decision, Limiter};

/// An extractor with which a handler, or the stream of its response, counts the units that the
/// request comes to. When the response's body has ended, also because the client has gone, the
/// charge of the limit is settled at their sum (see [`Limiter::settle`]). Clones count together.
///
/// The limit charges its cost at first, as a reserve. If nothing is ever added, not even 0, the
/// reserve stays. An answer that switches protocols, like that of a WebSocket, is settled when the
/// last clone is dropped.
///
/// ```
/// use axum::{Router, routing::post};
/// use tollgate::{Policy, Quota, RateLimitLayer, Usage};
///
/// const TOKENS: Policy = Policy::new("tokens", Quota::per_minute(10_000));
///
/// async fn answer(usage: Usage, question: String) -> String {
///     let words = question.split_whitespace();
///     words.inspect(|_| usage.add(1)).collect()
/// }
///
/// let app: Router = Router::new()
///     .route("/answer", post(answer))
///     .layer(RateLimitLayer::new(TOKENS).cost(500).settle_usage());
/// ```
///
/// The only limit of an annotated handler settles at a `Usage` among the handler's arguments; of several
/// limits, those with `settle = usage` do ([the attribute's page](crate::rate_limit#settlements)).
/// Without a limit that settles at it, or for a request that is not counted, adding has no effect.
#[derive(Clone, Default)]
pub struct Usage(Arc<UsageState>);

#[derive(Default)]
struct UsageState {
    /// The units plus one; 0 if nothing was ever added.
    counted: AtomicU64,
    /// The charges to settle.
    charges: Mutex<Vec<(Limiter, Decision, UsageShare)>>,
}

/// The part of the units at which a charge is settled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UsageShare {
    All,
    /// Another charge of the same request has them all.
    None,
}

impl Usage {
    /// Adds units. The sum saturates.
    pub fn add(&self, units: u32) {
        let add = |counted: u64| Some(counted.max(1).saturating_add(units.into()));
        // The function always returns a number, so this cannot fail.
        let _ = self.0.counted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Returns the units that were added so far.
    #[must_use]
    pub fn units(&self) -> u32 {
        self.0.units().unwrap_or(0)
    }

    /// Returns the request's usage, and adds one to its extensions if there is none.
    pub(super) fn of(extensions: &mut Extensions) -> Self {
        extensions.get_or_insert_default::<Self>().clone()
    }

    /// Adds a charge that is to be settled at the end.
    pub(super) fn push(&self, limiter: &Limiter, decision: Decision, share: UsageShare) {
        self.0.lock().push((limiter.clone(), decision, share));
    }

    /// Settles the charges at what was added so far.
    pub(super) fn settle(&self) {
        self.0.settle();
    }
}

impl UsageState {
    fn units(&self) -> Option<u32> {
        let units = self.counted.load(Ordering::Relaxed).checked_sub(1)?;
        Some(u32::try_from(units).unwrap_or(u32::MAX))
    }

    fn settle(&self) {
        let charges = std::mem::take(&mut *self.lock());
        let Some(units) = self.units() else { return };
        for (limiter, decision, share) in charges {
            let actual = if share == UsageShare::All { units } else { 0 };
            limiter.settle_soon(decision, Adjustment::Settle(actual));
        }
    }

    /// Locks the charges. Poison is ignored, because no code panics while it has the lock.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Limiter, Decision, UsageShare)>> {
        self.charges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UsageState {
    fn drop(&mut self) {
        self.settle();
    }
}

impl<S: Sync> FromRequestParts<S> for Usage {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&mut parts.extensions))
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Usage").field("units", &self.0.units()).finish_non_exhaustive()
    }
}
